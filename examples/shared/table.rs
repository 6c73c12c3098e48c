//! A table that a person enjoys reading, with rules of box-drawing characters.

use std::{fmt, time::Duration};

/// On which side of its column a text stands.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
}

/// Rows of `N` columns under their titles.
pub struct Table<const N: usize> {
    titles: [&'static str; N],
    sides: [Side; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(columns: [(&'static str, Side); N]) -> Self {
        Self { titles: columns.map(|(title, _)| title), sides: columns.map(|(_, side)| side), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.titles[column].chars().count()]).max().unwrap_or(0)
        })
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule = |left, cross, right| {
            let bars = widths.map(|width| "─".repeat(width + 2));
            format!("{left}{}{right}", bars.join(cross))
        };
        let line = |cells: [&str; N]| {
            let padded: [String; N] = std::array::from_fn(|column| {
                let (cell, width) = (cells[column], widths[column]);
                match self.sides[column] {
                    Side::Left => format!(" {cell:<width$} "),
                    Side::Right => format!(" {cell:>width$} "),
                }
            });
            format!("│{}│", padded.join("│"))
        };
        writeln!(f, "{}", rule("┌", "┬", "┐"))?;
        writeln!(f, "{}", line(self.titles))?;
        writeln!(f, "{}", rule("├", "┼", "┤"))?;
        for row in &self.rows {
            writeln!(f, "{}", line(row.each_ref().map(String::as_str)))?;
        }
        writeln!(f, "{}", rule("└", "┴", "┘"))
    }
}

/// A length of time in the unit that suits it.
pub fn spelled(time: Duration) -> String {
    match time.as_nanos() {
        0..1_000 => format!("{} ns", time.as_nanos()),
        1_000..1_000_000 => format!("{:.1} µs", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}
