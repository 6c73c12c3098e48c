//! The outcome of an annotated function, told by its type and not by how the type is spelled.
//!
//! `L1::<R>::NEW.outer().inner()` resolves to one of four shapes. An inherent method wins over
//! a trait's, so `outer` is the inherent one exactly when `R` *is* a `Result` or an `Option`,
//! an alias included, and the trait's otherwise. No bound on the error type is needed.

use std::marker::PhantomData;

macro_rules! marker {
    ($(#[$doc:meta])* $name:ident<$($param:ident),+>) => {
        $(#[$doc])*
        pub struct $name<$($param),+>(PhantomData<fn() -> ($($param,)+)>);
        impl<$($param),+> $name<$($param),+> {
            /// The only value.
            pub const NEW: Self = Self(PhantomData);
        }
        impl<$($param),+> Clone for $name<$($param),+> {
            fn clone(&self) -> Self { *self }
        }
        impl<$($param),+> Copy for $name<$($param),+> {}
    };
}

marker!(/// Where the resolution starts: a return type.
    L1<R>);
marker!(/// An `Option` or a plain value, not behind a `Result`.
    Bare<R>);
marker!(/// A `Result` whose value is still to be told apart.
    Outcome<T, E>);
marker!(/// `T`
    Plain<T>);
marker!(/// `Option<T>`
    Opt<T>);
marker!(/// `Result<T, E>`
    Res<T, E>);
marker!(/// `Result<Option<T>, E>`
    ResOpt<T, E>);

impl<R> L1<R> {
    /// The same, for a return type that is known from a value.
    pub const fn of(_: &PhantomData<fn() -> R>) -> Self {
        Self::NEW
    }
}

impl<T, E> L1<Result<T, E>> {
    /// A `Result`.
    pub const fn outer(self) -> Outcome<T, E> {
        Outcome::NEW
    }
}

/// The first level for everything that is not a `Result`.
pub trait Outer {
    /// What the return type is at the first level.
    type Level;
    /// Resolves the first level.
    fn outer(self) -> Self::Level;
}

impl<R> Outer for L1<R> {
    type Level = Bare<R>;
    fn outer(self) -> Bare<R> {
        Bare::NEW
    }
}

impl<T> Bare<Option<T>> {
    /// An `Option`.
    pub const fn inner(self) -> Opt<T> {
        Opt::NEW
    }
}

impl<T, E> Outcome<Option<T>, E> {
    /// A `Result` of an `Option`.
    pub const fn inner(self) -> ResOpt<T, E> {
        ResOpt::NEW
    }
}

/// The second level for everything that is not an `Option`.
pub trait Inner {
    /// The shape.
    type Shape;
    /// Resolves the second level.
    fn inner(self) -> Self::Shape;
}

impl<R> Inner for Bare<R> {
    type Shape = Plain<R>;
    fn inner(self) -> Plain<R> {
        Plain::NEW
    }
}

impl<T, E> Inner for Outcome<T, E> {
    type Shape = Res<T, E>;
    fn inner(self) -> Res<T, E> {
        Res::NEW
    }
}

/// What came out of a function.
pub enum Split<T, E> {
    /// A value to cache.
    Value(T),
    /// A `None`, cached only under `negative_ttl`.
    None,
    /// An `Err`, never cached.
    Err(E),
}

/// One of the four shapes of a return type.
pub trait Shape: Copy + Send + Sync + 'static {
    /// The whole return type.
    type Return;
    /// The part that is cached.
    type Value;
    /// The error; the empty type where there is none.
    type Error;
    /// Whether a `None` can be returned.
    const OPTIONAL: bool;

    /// Takes a return value apart.
    fn split(returned: Self::Return) -> Split<Self::Value, Self::Error>;
    /// Makes a return value of a cached one.
    fn value(value: Self::Value) -> Self::Return;
    /// Makes a return value of a cached `None`; `None` where the shape has none.
    fn none() -> Option<Self::Return>;
    /// Makes a return value of an error.
    fn error(error: Self::Error) -> Self::Return;

    /// Puts a return value together again.
    fn join(split: Split<Self::Value, Self::Error>) -> Option<Self::Return> {
        match split {
            Split::Value(value) => Some(Self::value(value)),
            Split::None => Self::none(),
            Split::Err(error) => Some(Self::error(error)),
        }
    }
}

impl<T: 'static> Shape for Plain<T> {
    type Return = T;
    type Value = T;
    type Error = std::convert::Infallible;
    const OPTIONAL: bool = false;

    fn split(returned: T) -> Split<T, Self::Error> {
        Split::Value(returned)
    }
    fn value(value: T) -> T {
        value
    }
    fn none() -> Option<T> {
        None
    }
    fn error(error: Self::Error) -> T {
        match error {}
    }
}

impl<T: 'static> Shape for Opt<T> {
    type Return = Option<T>;
    type Value = T;
    type Error = std::convert::Infallible;
    const OPTIONAL: bool = true;

    fn split(returned: Option<T>) -> Split<T, Self::Error> {
        returned.map_or(Split::None, Split::Value)
    }
    fn value(value: T) -> Option<T> {
        Some(value)
    }
    fn none() -> Option<Option<T>> {
        Some(None)
    }
    fn error(error: Self::Error) -> Option<T> {
        match error {}
    }
}

impl<T: 'static, E: 'static> Shape for Res<T, E> {
    type Return = Result<T, E>;
    type Value = T;
    type Error = E;
    const OPTIONAL: bool = false;

    fn split(returned: Result<T, E>) -> Split<T, E> {
        returned.map_or_else(Split::Err, Split::Value)
    }
    fn value(value: T) -> Result<T, E> {
        Ok(value)
    }
    fn none() -> Option<Result<T, E>> {
        None
    }
    fn error(error: E) -> Result<T, E> {
        Err(error)
    }
}

impl<T: 'static, E: 'static> Shape for ResOpt<T, E> {
    type Return = Result<Option<T>, E>;
    type Value = T;
    type Error = E;
    const OPTIONAL: bool = true;

    fn split(returned: Result<Option<T>, E>) -> Split<T, E> {
        match returned {
            Ok(Some(value)) => Split::Value(value),
            Ok(None) => Split::None,
            Err(error) => Split::Err(error),
        }
    }
    fn value(value: T) -> Result<Option<T>, E> {
        Ok(Some(value))
    }
    fn none() -> Option<Result<Option<T>, E>> {
        Some(Ok(None))
    }
    fn error(error: E) -> Result<Option<T>, E> {
        Err(error)
    }
}

/// A shape, and whether its error can be given to several callers.
pub struct Shaped<S: Shape> {
    pub(crate) clone_error: Option<fn(&S::Error) -> S::Error>,
}

impl<S: Shape> Clone for Shaped<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Shape> Copy for Shaped<S> {}

impl<T: 'static, E: Clone + Send + 'static> Res<T, E> {
    /// An error that the waiters of one load can share.
    #[must_use]
    pub fn errors(self) -> Shaped<Self> {
        Shaped { clone_error: Some(E::clone) }
    }
}

impl<T: 'static, E: Clone + Send + 'static> ResOpt<T, E> {
    /// An error that the waiters of one load can share.
    #[must_use]
    pub fn errors(self) -> Shaped<Self> {
        Shaped { clone_error: Some(E::clone) }
    }
}

/// Shapes without an error, or with one that stays with the call that met it.
pub trait Errors: Shape {
    /// Resolves how errors are shared.
    fn errors(self) -> Shaped<Self> {
        Shaped { clone_error: None }
    }
}

impl<S: Shape> Errors for S {}
