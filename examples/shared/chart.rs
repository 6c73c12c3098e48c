//! Values over time in one line, a letter each; in colours on a terminal.

use std::io::IsTerminal as _;

/// One moment; the height is from 0 to 1.
pub enum Mark {
    Fresh(f64),
    Old(f64),
    Failed,
}

pub struct Chart {
    colours: bool,
}

impl Chart {
    pub fn new() -> Self {
        Self { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub fn title(&self, name: &str, shows: &str) -> String {
        format!("{}: {shows}", self.painted("1", name))
    }

    pub fn line(&self, marks: impl Iterator<Item = Mark>) -> String {
        let letter = |mark| match mark {
            Mark::Fresh(height) => self.painted("32", bar(height)),
            Mark::Old(height) => self.painted("33", bar(height)),
            Mark::Failed => self.painted("1;31", "×"),
        };
        marks.map(letter).collect()
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The lowest bar is for nothing at all.
fn bar(height: f64) -> &'static str {
    const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    // A float becomes the nearest index, whatever it was.
    let index = (height * 7.0).ceil() as usize;
    BARS[index.min(7)]
}
