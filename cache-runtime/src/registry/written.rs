//! Types as their text tells them.

/// What a return type caches, if that can be told from how it is written: without `Result`,
/// `Option` and pointers, and each path cut down to its last word.
///
/// `None` for everything that may be another type than it seems: a type parameter, an alias with
/// arguments, and the collections that functions over many ids return.
pub(super) fn core(written: &str) -> Option<String> {
    const WRAPPERS: [&str; 5] = ["Result", "Option", "Arc", "Box", "Rc"];
    const LISTS: [&str; 6] = ["Vec", "VecDeque", "HashSet", "BTreeSet", "BinaryHeap", "LinkedList"];
    let mut rest = written.trim();
    loop {
        if !rest.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == ':') {
            return None;
        }
        let Some((path, arguments)) = rest.strip_suffix('>').and_then(|rest| rest.split_once('<')) else {
            return is_a_name(rest).then(|| last_word(rest).to_owned());
        };
        let name = last_word(path);
        let first = first_argument(arguments);
        if WRAPPERS.contains(&name) {
            rest = first;
        } else if LISTS.contains(&name) {
            return core(first).map(|of| format!("{name}<{of}>"));
        } else {
            return None;
        }
    }
}

/// A path, and no type parameter.
fn is_a_name(text: &str) -> bool {
    let is_path = text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    let is_parameter = text.chars().all(|c| c.is_uppercase() || c.is_numeric());
    is_path && !is_parameter && text != "Self" && !text.starts_with("Self::")
}

fn last_word(path: &str) -> &str {
    path.rsplit_once(':').map_or(path, |(_, last)| last).trim()
}

fn first_argument(arguments: &str) -> &str {
    let mut depth = 0_usize;
    for (at, character) in arguments.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return arguments[..at].trim(),
            _ => {}
        }
    }
    arguments.trim()
}

/// A resolved type's name without the pointers around it, of which a stored value shows nothing.
pub(super) fn without_pointers(mut name: &'static str) -> &'static str {
    const POINTERS: [&str; 3] = ["alloc::sync::Arc<", "alloc::boxed::Box<", "alloc::rc::Rc<"];
    while let Some(inner) =
        POINTERS.iter().find_map(|pointer| name.strip_prefix(pointer).and_then(|rest| rest.strip_suffix('>')))
    {
        name = inner;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cached_type_is_told_where_it_is_certain() {
        let cases = [
            ("User", Some("User")),
            ("Result<Option<model::User>, DbError>", Some("User")),
            ("std::result::Result<Arc<User>, E>", Some("User")),
            ("Vec<model::User>", Some("Vec<User>")),
            ("Result<HashMap<u64, User>, E>", None),
            ("Vec<(u64, User)>", None),
            ("Outcome<User>", None),
            ("(u32, String)", None),
            ("Option<T>", None),
            ("Self", None),
            ("impl Trait", None),
            ("", None),
        ];
        for (written, expected) in cases {
            assert_eq!(core(written).as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn pointers_around_a_type_do_not_matter() {
        assert_eq!(without_pointers("alloc::sync::Arc<alloc::boxed::Box<app::User>>"), "app::User");
        assert_eq!(without_pointers("app::Arc<app::User>"), "app::Arc<app::User>");
    }
}
