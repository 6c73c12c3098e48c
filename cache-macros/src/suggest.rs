//! What was meant: the nearest right name, and lists for messages.

/// The candidate nearest to `word`, if one is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let longest_slip = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (slips(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= longest_slip || shares_a_word(word, candidate))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// `user` is meant by `user_id`, and the other way round.
fn shares_a_word(word: &str, candidate: &str) -> bool {
    let parts = |name: &str| name.split('_').filter(|part| part.len() > 2).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(word), parts(candidate));
    ours.iter().any(|part| theirs.contains(part))
}

/// Levenshtein's distance, a swap of neighbours counted as one.
fn slips(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before = vec![0; right.len() + 1];
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let mut least = (row[j] + usize::from(l != r)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

/// `` `a`, `b` and `c` ``
pub(crate) fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{list, nearest};

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_does_not() {
        assert_eq!(nearest("tll", ["ttl", "key", "tags"]), Some("ttl"));
        assert_eq!(nearest("usr_id", ["user_id", "org"]), Some("user_id"));
        assert_eq!(nearest("id", ["user_id"]), None);
        assert_eq!(nearest("user", ["user_id", "org"]), Some("user_id"));
        assert_eq!(nearest("capacity", ["ttl", "key"]), None);
    }

    #[test]
    fn lists_read_as_prose() {
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "`a`, `b` and `c`");
        assert_eq!(list(&["a".into()]), "`a`");
        assert_eq!(list(&[]), "");
    }
}
