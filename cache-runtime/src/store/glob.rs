//! Redis's patterns, byte by byte, so that both backends remove the same keys.

/// Whether all of `text` matches: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a byte to be taken
/// as it is.
///
/// A mismatch goes back to the last `*` only: an earlier one could not do better, and the time
/// stays within the product of both lengths whatever the pattern.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = pattern.split_first() {
            retry = Some((after, text));
            pattern = after;
            continue;
        }
        match (text.split_first(), step(pattern, text)) {
            (None, _) if pattern.is_empty() => return true,
            (Some((_, rest)), Some(after)) => (pattern, text) = (after, rest),
            _ => {
                let Some((after, [_, shorter @ ..])) = retry else { return false };
                retry = Some((after, shorter));
                (pattern, text) = (after, shorter);
            }
        }
    }
}

/// Matches one byte against the first element of the pattern; what follows it, if they agree.
fn step<'p>(pattern: &'p [u8], text: &[u8]) -> Option<&'p [u8]> {
    let byte = *text.first()?;
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', class @ ..] => set(class, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
    }
}

/// Matches a byte against a set whose `[` is read already. One that is not closed ends with the
/// pattern, as in Redis.
fn set(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                rest = after;
            }
            [from, b'-', to, after @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= *literal == byte;
                rest = after;
            }
        }
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod hostile {
    use proptest::prelude::*;

    use super::*;

    /// The same, by trying every way there is.
    fn matches_somehow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', after @ ..] => (0..=text.len()).any(|gone| matches_somehow(after, &text[gone..])),
            _ => step(pattern, text).is_some_and(|after| matches_somehow(after, &text[1..])),
        }
    }

    /// Bytes of which many mean something in a pattern.
    fn telling(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => prop::sample::select(b"ab*?[]^-\\".to_vec()), 1 => any::<u8>()];
        prop::collection::vec(byte, 0..longest)
    }

    proptest! {
        #[test]
        fn any_pattern_matches_what_it_should(pattern in telling(10), text in telling(10)) {
            prop_assert_eq!(matches(&pattern, &text), matches_somehow(&pattern, &text));
        }

        #[test]
        fn any_pattern_is_done_in_time(pattern in telling(2_000), text in telling(2_000)) {
            let _ = matches(&pattern, &text);
        }
    }
}
