//! Templates: literal text and placeholders, `<name>` or `{name}`.

use std::ops::Range;

use proc_macro2::Span;
use syn::LitStr;

use crate::errors::Errors;

/// A template as written, taken apart.
pub(crate) struct Template {
    pub(crate) literal: LitStr,
    pub(crate) parts: Vec<Part>,
}

pub(crate) enum Part {
    Text(String),
    Place(Place),
}

/// `<request.topic:hash>`
pub(crate) struct Place {
    /// The argument, type parameter, `self` or field that it starts from.
    pub(crate) root: String,
    /// The fields behind it.
    pub(crate) fields: Vec<String>,
    /// Takes the SHA-256 of the value's JSON.
    pub(crate) hash: bool,
    /// Where its content stands in the literal's value, in bytes.
    pub(crate) range: Range<usize>,
}

impl Template {
    /// Reads a template and reports every mistake of its grammar.
    pub(crate) fn parse(literal: &LitStr, errors: &mut Errors) -> Self {
        let text = literal.value();
        let mut template = Self { literal: literal.clone(), parts: Vec::new() };
        if text.is_empty() {
            errors.at(literal, "an empty template; without a template, leave the argument out");
        }
        if let Some((at, control)) = text.char_indices().find(|(_, c)| c.is_control()) {
            template.error(errors, at..at + control.len_utf8(), "a control character in a template", "");
        }
        template.read(&text, errors);
        template.check_separators(errors);
        template
    }

    fn read(&mut self, text: &str, errors: &mut Errors) {
        let mut at = 0;
        while let Some(open) = text[at..].chars().next() {
            let next = at + open.len_utf8();
            let close = match open {
                '<' => '>',
                '{' => '}',
                '>' | '}' if text[next..].starts_with(open) => {
                    self.text(open);
                    at = next + 1;
                    continue;
                }
                '>' | '}' => {
                    let opener = if open == '>' { '<' } else { '{' };
                    let note =
                        format!("a placeholder is `{opener}name{open}`; a literal `{open}` is written `{open}{open}`");
                    self.error(errors, at..next, &format!("`{open}` closes nothing"), &note);
                    at = next;
                    continue;
                }
                _ => {
                    self.text(open);
                    at = next;
                    continue;
                }
            };
            if text[next..].starts_with(open) {
                self.text(open);
                at = next + 1;
                continue;
            }
            let Some(length) = text[next..].find(close) else {
                let note = format!("close it with `{close}`; a literal `{open}` is written `{open}{open}`");
                self.error(errors, at..text.len(), &format!("`{open}` is not closed"), &note);
                return;
            };
            self.place(text, next..next + length, errors);
            at = next + length + 1;
        }
    }

    fn text(&mut self, character: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(character),
            _ => self.parts.push(Part::Text(character.into())),
        }
    }

    fn place(&mut self, text: &str, range: Range<usize>, errors: &mut Errors) {
        let content = &text[range.clone()];
        let (path, form) = content.split_once(':').map_or((content, None), |(path, form)| (path, Some(form)));
        let mut segments = path.split('.').map(str::to_owned);
        let root = segments.next().unwrap_or_default();
        let fields: Vec<_> = segments.collect();
        if !is_name(&root) || !fields.iter().all(|field| is_name(field)) {
            let message = if content.is_empty() { "an empty placeholder" } else { "a placeholder names an argument" };
            self.error(errors, range, message, "write `<name>`, `<name.field>` or `<name:hash>`");
            return;
        }
        if let Some(form) = form.filter(|form| *form != "hash") {
            let at = range.end - form.len()..range.end;
            self.error(
                errors,
                at,
                &format!("`:{form}` is no form of a placeholder"),
                "the only form is `<name:hash>`, the SHA-256 of the argument's JSON",
            );
        }
        self.parts.push(Part::Place(Place { root, fields, hash: form.is_some(), range }));
    }

    /// Two values with nothing between them that a value cannot hold could run into one another:
    /// `1` and `23` would render as `12` and `3` do.
    fn check_separators(&self, errors: &mut Errors) {
        let mut last: Option<&Place> = None;
        let mut separated = true;
        for part in &self.parts {
            match part {
                Part::Text(text) => separated |= text.bytes().any(separates),
                Part::Place(place) => {
                    if let Some(last) = last.filter(|_| !separated) {
                        let message = format!("`{}` and `{}` are not kept apart", last.root, place.root);
                        let note = format!(
                            "two different pairs of values could give one key: put a character between them that no value can hold, such as `:`, as in `<{}>:<{}>`",
                            last.root, place.root
                        );
                        self.error(errors, last.range.start..place.range.end, &message, &note);
                    }
                    last = Some(place);
                    separated = false;
                }
            }
        }
    }

    /// Reports a mistake at the literal, with the words of `range` underlined in the message,
    /// since the span of a part of a literal is not to be had on stable Rust.
    pub(crate) fn error(&self, errors: &mut Errors, range: Range<usize>, message: &str, note: &str) {
        let text = self.literal.value();
        let indent = text[..range.start].chars().count();
        let width = text[range.clone()].chars().count().max(1);
        let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut full = format!("{message}\n\n    {shown}\n    {}{}", " ".repeat(indent), "^".repeat(width));
        if !note.is_empty() {
            full.push_str("\n\n");
            full.push_str(note);
        }
        errors.at_span(self.span_of(range).unwrap_or_else(|| self.literal.span()), full);
    }

    /// The span of a part, where the compiler gives it and the literal holds no escapes.
    fn span_of(&self, range: Range<usize>) -> Option<Span> {
        let token = self.literal.token();
        let start = token.to_string().strip_prefix('"')?.starts_with(&self.literal.value()).then_some(1)?;
        token.subspan(range.start + start..range.end + start)
    }
}

fn is_name(text: &str) -> bool {
    let name = text.strip_prefix("r#").unwrap_or(text);
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Characters that no rendered value holds, or only inside balanced parentheses. Values keep
/// letters, digits and `_ - . @ + ~`; `%` begins an escape and `!` stands for `None`.
const fn separates(byte: u8) -> bool {
    byte.is_ascii()
        && !byte.is_ascii_alphanumeric()
        && !matches!(byte, b'_' | b'-' | b'.' | b'@' | b'+' | b'~' | b'%' | b'!')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<String>, Result<(), String>) {
        let mut errors = Errors::default();
        let template = Template::parse(&LitStr::new(text, Span::call_site()), &mut errors);
        let parts = template.parts.iter().map(show).collect();
        (parts, errors.finish().map_err(|error| error.to_string()))
    }

    fn show(part: &Part) -> String {
        match part {
            Part::Text(text) => format!("{text:?}"),
            Part::Place(place) => {
                let path: Vec<_> = std::iter::once(&place.root).chain(&place.fields).map(String::as_str).collect();
                format!("{}{}", path.join("."), if place.hash { "#" } else { "" })
            }
        }
    }

    #[test]
    fn placeholders_of_both_kinds_are_read() {
        let (parts, errors) = parse("a:<id>:{org.name}/<self.tenant>|<q:hash>");
        assert_eq!(parts, ["\"a:\"", "id", "\":\"", "org.name", "\"/\"", "self.tenant", "\"|\"", "q#"]);
        assert_eq!(errors, Ok(()));
    }

    #[test]
    fn doubled_brackets_are_text() {
        let (parts, errors) = parse("<<a>>{{b}}:<id>");
        assert_eq!(parts, ["\"<a>{b}:\"", "id"]);
        assert_eq!(errors, Ok(()));
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        for (text, message) in [
            ("user:<id", "`<` is not closed"),
            ("user:id>", "`>` closes nothing"),
            ("user:<>", "an empty placeholder"),
            ("user:<id:sha>", "`:sha` is no form"),
            ("<a><b>", "`a` and `b` are not kept apart"),
            ("<a>-<b>", "`a` and `b` are not kept apart"),
            ("<a>%<b>", "`a` and `b` are not kept apart"),
            ("", "an empty template"),
            ("a\n<b>", "a control character"),
            ("\u{85}", "a control character"),
            ("<a b>", "a placeholder names an argument"),
        ] {
            let error = parse(text).1.err().unwrap_or_default();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn the_word_is_underlined() {
        let error = parse("user:<id:sha>:x").1.err().unwrap_or_default();
        assert!(error.contains("\n    user:<id:sha>:x\n             ^^^\n"), "{error}");
    }
}

#[cfg(test)]
mod hostile {
    use proptest::prelude::*;

    use super::*;

    /// The template that these parts were read from, in one of its spellings.
    fn written(parts: &[Part]) -> String {
        let spell = |part: &Part| match part {
            Part::Text(text) => {
                let double = |c: char| if "<>{}".contains(c) { String::from_iter([c, c]) } else { c.into() };
                text.chars().map(double).collect()
            }
            Part::Place(place) => {
                let path = std::iter::once(&place.root).chain(&place.fields).map(String::as_str).collect::<Vec<_>>();
                format!("<{}{}>", path.join("."), if place.hash { ":hash" } else { "" })
            }
        };
        parts.iter().map(spell).collect()
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in r"([<>{}:.a-c]|r#|hash|\PC|\x{85}|\n){0,24}") {
            let mut errors = Errors::default();
            let template = Template::parse(&LitStr::new(&text, Span::call_site()), &mut errors);
            if errors.finish().is_ok() {
                let again = written(&template.parts);
                let mut errors = Errors::default();
                let template = Template::parse(&LitStr::new(&again, Span::call_site()), &mut errors);
                prop_assert_eq!(written(&template.parts), again);
                prop_assert!(errors.is_empty());
            }
        }
    }
}
