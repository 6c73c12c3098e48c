//! What the groups have shown, as Markdown.

use std::{fmt::Write as _, fs, path::Path};

use crate::{chart, measure::Measured};

/// Which values are good ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// One table: ourselves first, then the others.
pub struct Outcome {
    pub name: &'static str,
    workload: String,
    unit: &'static str,
    pub better: Better,
    pub measured: Vec<Measured>,
    goals: Vec<Goal>,
    notes: Vec<String>,
}

struct Goal {
    text: String,
    measured: String,
    is_met: bool,
}

impl Outcome {
    pub fn new(
        name: &'static str,
        workload: impl Into<String>,
        unit: &'static str,
        better: Better,
        measured: Vec<Measured>,
    ) -> Self {
        Self { name, workload: workload.into(), unit, better, measured, goals: Vec::new(), notes: Vec::new() }
    }

    /// A goal that our value is at most so many times another's.
    pub fn at_most(self, bound: f64, other: &str) -> Self {
        let ratio = self.over(other);
        self.goal(format!("≤ {bound} × {other}"), format!("{ratio:.2} ×"), ratio <= bound)
    }

    /// A goal that our value is at least so many times another's.
    pub fn at_least(self, bound: f64, other: &str) -> Self {
        let ratio = self.over(other);
        self.goal(format!("≥ {bound} × {other}"), format!("{ratio:.2} ×"), ratio >= bound)
    }

    pub fn without_allocations(self) -> Self {
        let count = self.measured.first().and_then(|ours| ours.allocations).unwrap_or(f64::NAN);
        self.goal("0 allocations a hit".into(), format!("{count:.2}"), count == 0.0)
    }

    pub fn goal(mut self, text: String, measured: String, is_met: bool) -> Self {
        self.goals.push(Goal { text, measured, is_met });
        self
    }

    /// Where the row did not measure what it says, no goal of it counts as met.
    pub fn void(mut self) -> Self {
        self.goals.iter_mut().for_each(|goal| goal.is_met = false);
        self
    }

    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    fn over(&self, other: &str) -> f64 {
        let other = self.measured.iter().find(|measured| measured.name == other);
        self.measured.first().zip(other).map_or(f64::NAN, |(ours, other)| ours.over(other))
    }
}

/// The goals in one table, what stands in the way of those that are not met, then each group's own.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut text = String::from("| group | goal | measured | |\n|---|---|---|---|\n");
    for outcome in outcomes {
        for Goal { text: goal, measured, is_met } in &outcome.goals {
            let verdict = if *is_met { "met" } else { "**not met**" };
            let _ = writeln!(text, "| {} | {goal} | {measured} | {verdict} |", outcome.name);
        }
    }
    text.push('\n');
    text.push_str(include_str!("../NOTES.md"));
    for outcome in outcomes {
        section(&mut text, outcome);
    }
    text
}

fn section(text: &mut String, outcome: &Outcome) {
    let Outcome { name, workload, unit, better, measured, .. } = outcome;
    let which = if *better == Better::Lower { "less" } else { "more" };
    let _ = write!(text, "\n### {name}\n\n{workload}; {unit}, {which} is better.\n\n");
    let counts = measured.iter().any(|row| row.allocations.is_some());
    let (head, line) = if counts { (" allocations |", "--:|") } else { ("", "") };
    let _ = writeln!(text, "| | median | half of the rounds | ours ÷ it |{head}\n|---|--:|--:|--:|{line}");
    for row in measured {
        let (low, high) = row.quartiles();
        let ratio = measured.first().map_or(f64::NAN, |ours| ours.over(row));
        let (median, low, high) = (number(row.median()), number(low), number(high));
        // Nothing over nothing is no ratio.
        let ratio = if ratio.is_nan() { "–".to_owned() } else { format!("{ratio:.2}") };
        let _ = write!(text, "| {} | {median} | {low} – {high} | {ratio} |", row.name);
        if counts {
            let _ = write!(text, " {} |", row.allocations.map_or(String::new(), |count| format!("{count:.2}")));
        }
        text.push('\n');
    }
    for note in &outcome.notes {
        let _ = write!(text, "\n{note}\n");
    }
}

/// Three digits that matter, and thousands set apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

/// How busy the machine was: with more running than it has cores, figures of several threads say little.
fn circumstances() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    match load.split_whitespace().nth(2) {
        Some(load) => format!("On {cores} cores, with a load average of {load} at the end."),
        None => format!("On {cores} cores."),
    }
}

/// Writes `RESULTS.md` and the chart beside the crate.
pub fn write(outcomes: &[Outcome]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let head = format!(
        "# Measured\n\n\
        Written by `cargo run --release -p cache-benches -- table`; absolute times depend on the machine, \
        ratios much less. Contenders take turns in one process; a ratio is the median of the ratios of rounds \
        that stood side by side. Times on one thread are its processor time.\n\n\
        {}\n\n\
        ![ours beside the peers](RESULTS.svg)\n\n",
        circumstances()
    );
    let files = [("RESULTS.md", format!("{head}{}", markdown(outcomes))), ("RESULTS.svg", chart::svg(outcomes))];
    for (name, content) in files {
        if let Err(error) = fs::write(folder.join(name), content) {
            eprintln!("{name} was not written: {error}");
        }
    }
}
