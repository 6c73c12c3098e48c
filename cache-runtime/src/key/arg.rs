//! The types that can stand in a placeholder, each with a form that no other value of the type has.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretBox};

use super::KeyWriter;

/// A type whose values can stand in a key template.
///
/// Derive it for a struct of yours, with a template over its fields or as a hash:
///
/// ```
/// use cache_runtime::CacheKey;
/// use serde::Serialize;
///
/// #[derive(CacheKey)]
/// #[cache_key("research:<topic>:<depth>")]
/// struct Research { topic: String, depth: u8 }
///
/// #[derive(CacheKey, Serialize)]
/// #[cache_key(hash)] // the SHA-256 of its canonical JSON
/// struct Search { terms: Vec<String>, limit: u32 }
/// ```
///
/// Different values must render differently: that is what keeps one user's data from another.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a cache key",
    label = "this argument has no key form",
    note = "derive it: `#[derive(CacheKey)]` with `#[cache_key(\"…<field>…\")]` or `#[cache_key(hash)]`",
    note = "or take the SHA-256 of its JSON in the template: `<name:hash>`, which needs `Serialize`"
)]
pub trait CacheKey {
    /// Writes this value's form.
    fn render(&self, key: &mut KeyWriter);
}

macro_rules! by_display {
    ($($type:ty),+ $(,)?) => {$(
        impl CacheKey for $type {
            fn render(&self, key: &mut KeyWriter) {
                use std::fmt::Write as _;
                let mut text = Small::default();
                match write!(text, "{self}") {
                    Ok(()) => key.value(text.as_str()),
                    Err(_) => key.value(&self.to_string()),
                }
            }
        }
    )+};
}

by_display!(f32, f64, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr);

macro_rules! integers {
    ($($type:ty),+ $(,)?) => {$(
        impl CacheKey for $type {
            #[inline]
            fn render(&self, key: &mut KeyWriter) {
                key.number(self.to_ne_bytes(), <$type>::MIN != 0, *self);
            }
        }
    )+};
}

integers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

macro_rules! nonzero_integers {
    ($($type:ident),+ $(,)?) => {$(
        impl CacheKey for num::$type {
            #[inline]
            fn render(&self, key: &mut KeyWriter) {
                self.get().render(key);
            }
        }
    )+};
}

nonzero_integers!(
    NonZeroU8,
    NonZeroU16,
    NonZeroU32,
    NonZeroU64,
    NonZeroU128,
    NonZeroUsize,
    NonZeroI8,
    NonZeroI16,
    NonZeroI32,
    NonZeroI64,
    NonZeroI128,
    NonZeroIsize,
);

impl CacheKey for bool {
    #[inline]
    fn render(&self, key: &mut KeyWriter) {
        key.plain(if *self { "true" } else { "false" });
    }
}

impl CacheKey for char {
    fn render(&self, key: &mut KeyWriter) {
        key.value(self.encode_utf8(&mut [0; 4]));
    }
}

impl CacheKey for str {
    #[inline]
    fn render(&self, key: &mut KeyWriter) {
        key.value(self);
    }
}

impl CacheKey for String {
    #[inline]
    fn render(&self, key: &mut KeyWriter) {
        key.value(self);
    }
}

/// In whole nanoseconds.
impl CacheKey for Duration {
    fn render(&self, key: &mut KeyWriter) {
        self.as_nanos().render(key);
    }
}

impl CacheKey for () {
    fn render(&self, key: &mut KeyWriter) {
        key.plain("()");
    }
}

macro_rules! by_deref {
    ($([$($generics:tt)*] $type:ty),+ $(,)?) => {$(
        impl<$($generics)*> CacheKey for $type {
            #[inline]
            fn render(&self, key: &mut KeyWriter) {
                (**self).render(key);
            }
        }
    )+};
}

by_deref!(
    [T: CacheKey + ?Sized] &T,
    [T: CacheKey + ?Sized] &mut T,
    [T: CacheKey + ?Sized] Box<T>,
    [T: CacheKey + ?Sized] Arc<T>,
    [T: CacheKey + ?Sized] Rc<T>,
    [T: CacheKey + ToOwned + ?Sized] Cow<'_, T>,
);

/// `None` is `!`, which no value renders; `Some` is its value, with one more `!` before a
/// nested `None`.
impl<T: CacheKey> CacheKey for Option<T> {
    fn render(&self, key: &mut KeyWriter) {
        match self {
            Some(value) => key.some(value),
            None => key.plain("!"),
        }
    }
}

/// `(a,b,)`: each element ends with a comma, so that an empty list and a list of one empty
/// string differ.
impl<T: CacheKey> CacheKey for [T] {
    fn render(&self, key: &mut KeyWriter) {
        key.plain("(");
        for element in self {
            key.arg(element);
            key.plain(",");
        }
        key.plain(")");
    }
}

impl<T: CacheKey> CacheKey for Vec<T> {
    fn render(&self, key: &mut KeyWriter) {
        self.as_slice().render(key);
    }
}

impl<T: CacheKey, const N: usize> CacheKey for [T; N] {
    fn render(&self, key: &mut KeyWriter) {
        self.as_slice().render(key);
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: CacheKey),+> CacheKey for ($($name,)+) {
            fn render(&self, key: &mut KeyWriter) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                key.plain("(");
                $(key.arg($name); key.plain(",");)+
                key.plain(")");
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);

/// A secret enters a key only as its SHA-256.
impl<S: CacheKey + secrecy::zeroize::Zeroize + ?Sized> CacheKey for SecretBox<S> {
    fn render(&self, key: &mut KeyWriter) {
        key.hash_of_key(self.expose_secret());
    }
}

/// Formatted text on the stack.
struct Small {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Small {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl Small {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl std::fmt::Write for Small {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
