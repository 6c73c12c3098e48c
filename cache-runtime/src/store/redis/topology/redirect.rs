//! What a node answers that does not have a name, or has it no more.

use bb8_redis::redis::Value;

use crate::config::Address;

/// Where to ask instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::redis) enum Redirect {
    /// The slot is another node's: from now on it is asked.
    Moved(Address),
    /// The slot is being moved, and this name is at the other node already: it is asked once.
    Ask(Address),
}

impl Redirect {
    /// `MOVED 3999 10.0.0.1:6381` and `ASK` alike, as `asked` answers. Where nodes do not know their own hosts, that of
    /// another one is left out too: `MOVED 3999 :6381`. It is where this one was asked.
    pub(in crate::store::redis) fn of(answer: &Value, asked: &Address) -> Option<Self> {
        let Value::ServerError(error) = answer else { return None };
        let address = || {
            let (_slot, address) = error.details()?.split_once(' ')?;
            let (host, port) = address.rsplit_once(':')?;
            Some(Address::new(host_or(host, asked), port.trim().parse().ok()?))
        };
        match error.code() {
            "MOVED" => address().map(Self::Moved),
            "ASK" => address().map(Self::Ask),
            _ => None,
        }
    }
}

/// The host that a node tells. One that does not know its own tells none, or `?` where it is to tell a name: it is
/// where `asked` was.
pub(super) fn host_or<'a>(host: &'a str, asked: &'a Address) -> &'a str {
    if matches!(host, "" | "?") { &asked.host } else { host }
}

/// Whether another node is to be asked, whichever it is.
pub(in crate::store::redis) fn is_redirect(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if matches!(error.code(), "MOVED" | "ASK"))
}

/// Whether the names of a call are at two nodes just now, half of them moved.
pub(in crate::store::redis) fn is_half_moved(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "TRYAGAIN")
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::parse_redis_value;

    use super::*;

    fn answer(text: &str) -> Value {
        parse_redis_value(text.as_bytes()).unwrap()
    }

    fn redirect(text: &str) -> Option<Redirect> {
        assert_eq!(is_redirect(&answer(text)), text.starts_with("-MOVED") || text.starts_with("-ASK"), "{text}");
        Redirect::of(&answer(text), &Address::new("seed", 6379))
    }

    #[test]
    fn an_answer_says_where_to_ask() {
        let at = |port| Address::new("10.0.0.1", port);
        assert_eq!(redirect("-MOVED 3999 10.0.0.1:6381\r\n"), Some(Redirect::Moved(at(6381))));
        assert_eq!(redirect("-ASK 3999 10.0.0.1:6382\r\n"), Some(Redirect::Ask(at(6382))));
        assert_eq!(redirect("-MOVED 3999 ::1:6381\r\n"), Some(Redirect::Moved(Address::new("::1", 6381))));
        for other in ["-TRYAGAIN x\r\n", "-MOVED\r\n", "-MOVED 1\r\n", "-ASK 1 host\r\n", "+MOVED 3999 a:1\r\n"] {
            assert_eq!(redirect(other), None, "{other}");
        }
        assert!(is_half_moved(&answer("-TRYAGAIN Multiple keys request during rehashing of slot\r\n")));
    }

    #[test]
    fn a_host_that_is_left_out_is_the_one_that_was_asked() {
        let at = |port| Address::new("seed", port);
        assert_eq!(redirect("-MOVED 3999 :6381\r\n"), Some(Redirect::Moved(at(6381))));
        assert_eq!(redirect("-ASK 3999 :6382\r\n"), Some(Redirect::Ask(at(6382))));
        assert_eq!(redirect("-ASK 3999 ?:6382\r\n"), Some(Redirect::Ask(at(6382))));
    }
}
