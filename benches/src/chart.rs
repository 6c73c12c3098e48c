//! Bars of how many times better we are than each other contender, on a logarithmic scale.

use std::fmt::Write as _;

use crate::report::{Better, Outcome};

const LEFT: f64 = 330.0;
const WIDTH: f64 = 980.0;
const LINE: f64 = 18.0;
/// A bar of this length means ten times.
const DECADE: f64 = 230.0;
/// Where neither is better.
const EVEN: f64 = LEFT + 180.0;

pub fn svg(outcomes: &[Outcome]) -> String {
    let (mut body, mut y) = (String::new(), 40.0);
    for outcome in outcomes {
        y = group(&mut body, outcome, y) + 8.0;
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{EVEN}\" y=\"18\" text-anchor=\"middle\">times better than … (1 = even, logarithmic)</text>\n\
         <line x1=\"{EVEN}\" y1=\"26\" x2=\"{EVEN}\" y2=\"{height}\" stroke=\"#888\"/>\n{body}</svg>\n"
    )
}

fn group(body: &mut String, outcome: &Outcome, mut y: f64) -> f64 {
    let _ = writeln!(body, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{}</text>", outcome.name);
    let Some((ours, others)) = outcome.measured.split_first() else { return y };
    for other in others {
        y += LINE;
        let ratio = ours.over(other);
        let better = if outcome.better == Better::Lower { 1.0 / ratio } else { ratio };
        if better.is_finite() && better > 0.0 {
            bar(body, other.name, better, y);
        }
    }
    y + LINE
}

fn bar(body: &mut String, name: &str, better: f64, y: f64) {
    let length = (better.log10() * DECADE).clamp(-170.0, WIDTH - EVEN - 60.0);
    let (x, colour) = if length < 0.0 { (EVEN + length, "#c2703d") } else { (EVEN, "#3d7dc2") };
    let (top, wide) = (y - 11.0, length.abs().max(1.0));
    let at = EVEN + length.max(0.0) + 6.0;
    let _ = writeln!(
        body,
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>\
         <rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"14\" fill=\"{colour}\"/>\
         <text x=\"{at:.1}\" y=\"{y}\">{better:.2}</text>",
        LEFT - 8.0
    );
}
