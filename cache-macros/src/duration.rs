//! Lengths of time as users write them: `3600`, `"10m"`, `"1h 30m"`.

use std::time::Duration;

const UNITS: [(&str, u64); 13] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("secs", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("mins", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
];

/// Reads `10m`, `1h30m`, `1h 30m`, `250ms` or, for whole seconds, `90`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("an empty length of time; {EXPECTED}"));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after.trim_start(), |c| c.is_alphabetic());
        let number: u64 = number.parse().map_err(|_| unexpected(rest, text))?;
        let unit = if unit.is_empty() && after.is_empty() && total == 0 { "s" } else { unit };
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor).ok_or_else(|| {
            if unit.is_empty() { unexpected(rest, text) } else { format!("`{unit}` is no unit of time; {EXPECTED}") }
        })?;
        total = number
            .checked_mul(*factor)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long a time"))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

const EXPECTED: &str = "write seconds as a number, or units: \"250ms\", \"90s\", \"10m\", \"1h 30m\", \"7d\"";

fn unexpected(rest: &str, text: &str) -> String {
    if rest == text {
        return format!("`{text}` is no length of time; {EXPECTED}");
    }
    format!("`{rest}` in `{text}` is no length of time; {EXPECTED}")
}

fn split(text: &str, part: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !part(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_their_sums_are_read() {
        for (text, millis) in [
            ("250ms", 250),
            ("90", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("24h", 86_400_000),
            ("7 days", 604_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told() {
        for text in ["", "ten minutes", "10 parsecs", "1h 30", "-5m", "1.5h", "99999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("10 parsecs").is_err_and(|message| message.starts_with("`parsecs` is no unit of time")));
    }
}
