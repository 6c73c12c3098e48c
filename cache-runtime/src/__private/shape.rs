//! The outcome of an annotated function, told by its type and not by how the type is spelled.
//!
//! `L1::<R>::NEW.outer().inner()` resolves to one of four shapes. An inherent method wins over
//! a trait's, so `outer` is the inherent one exactly when `R` *is* a `Result` or an `Option`,
//! an alias included, and the trait's otherwise. No bound on the error type is needed.

use std::{convert::Infallible, marker::PhantomData, sync::Arc};

use crate::codec::Packed;

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
pub enum Split<S: Shape> {
    /// A value to cache.
    Value(S::Value),
    /// A `None`, cached only under `negative_ttl`.
    None(S::Absent),
    /// An `Err`, never cached.
    Err(S::Error),
}

/// One of the four shapes of a return type.
pub trait Shape: Copy + Send + Sync {
    /// The whole return type.
    type Return;
    /// The part that is cached.
    type Value;
    /// The error; the empty type where there is none.
    type Error;
    /// `()` where a `None` can be returned, else the empty type.
    type Absent: Copy + Send;

    /// A `None`, for shapes that have one.
    const ABSENT: Option<Self::Absent>;
    /// Whether the value can be a `Result` or an `Option` after all: where a type parameter stands
    /// for it, it is not known before the function is instantiated.
    const IS_OPAQUE: bool;

    /// Takes a return value apart.
    fn split(returned: Self::Return) -> Split<Self>;
    /// Makes a return value of a cached one.
    fn value(value: Self::Value) -> Self::Return;
    /// Makes a return value of a cached `None`.
    fn absent(absent: Self::Absent) -> Self::Return;
    /// Makes a return value of an error.
    fn error(error: Self::Error) -> Self::Return;
}

impl<T> Shape for Plain<T> {
    type Return = T;
    type Value = T;
    type Error = Infallible;
    type Absent = Infallible;
    const ABSENT: Option<Infallible> = None;
    const IS_OPAQUE: bool = true;

    fn split(returned: T) -> Split<Self> {
        Split::Value(returned)
    }
    fn value(value: T) -> T {
        value
    }
    fn absent(absent: Infallible) -> T {
        match absent {}
    }
    fn error(error: Infallible) -> T {
        match error {}
    }
}

impl<T> Shape for Opt<T> {
    type Return = Option<T>;
    type Value = T;
    type Error = Infallible;
    type Absent = ();
    const ABSENT: Option<()> = Some(());
    const IS_OPAQUE: bool = false;

    fn split(returned: Option<T>) -> Split<Self> {
        returned.map_or(Split::None(()), Split::Value)
    }
    fn value(value: T) -> Option<T> {
        Some(value)
    }
    fn absent((): ()) -> Option<T> {
        None
    }
    fn error(error: Infallible) -> Option<T> {
        match error {}
    }
}

impl<T, E> Shape for Res<T, E> {
    type Return = Result<T, E>;
    type Value = T;
    type Error = E;
    type Absent = Infallible;
    const ABSENT: Option<Infallible> = None;
    const IS_OPAQUE: bool = true;

    fn split(returned: Result<T, E>) -> Split<Self> {
        returned.map_or_else(Split::Err, Split::Value)
    }
    fn value(value: T) -> Result<T, E> {
        Ok(value)
    }
    fn absent(absent: Infallible) -> Result<T, E> {
        match absent {}
    }
    fn error(error: E) -> Result<T, E> {
        Err(error)
    }
}

impl<T, E> Shape for ResOpt<T, E> {
    type Return = Result<Option<T>, E>;
    type Value = T;
    type Error = E;
    type Absent = ();
    const ABSENT: Option<()> = Some(());
    const IS_OPAQUE: bool = false;

    fn split(returned: Result<Option<T>, E>) -> Split<Self> {
        match returned {
            Ok(Some(value)) => Split::Value(value),
            Ok(None) => Split::None(()),
            Err(error) => Split::Err(error),
        }
    }
    fn value(value: T) -> Result<Option<T>, E> {
        Ok(Some(value))
    }
    fn absent((): ()) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn error(error: E) -> Result<Option<T>, E> {
        Err(error)
    }
}

/// A shape, and how its error is given to several callers if it can be.
pub struct Shaped<S: Shape> {
    pub(crate) errors: Option<ErrorCodec<S::Error>>,
}

impl<S: Shape> Clone for Shaped<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Shape> Copy for Shaped<S> {}

/// Shares errors of one type.
pub(crate) struct ErrorCodec<E> {
    pub(crate) pack: fn(&E) -> Packed,
    pub(crate) unpack: fn(&Packed) -> Option<E>,
}

impl<E> Clone for ErrorCodec<E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for ErrorCodec<E> {}

impl<E: Clone + Send + Sync + 'static> ErrorCodec<E> {
    fn shared() -> Self {
        Self { pack: |error| Arc::new(error.clone()), unpack: |packed| packed.downcast_ref::<E>().cloned() }
    }
}

impl<T, E: Clone + Send + Sync + 'static> Res<T, E> {
    /// An error that the waiters of one load can share.
    #[must_use]
    pub fn errors(self) -> Shaped<Self> {
        Shaped { errors: Some(ErrorCodec::shared()) }
    }
}

impl<T, E: Clone + Send + Sync + 'static> ResOpt<T, E> {
    /// An error that the waiters of one load can share.
    #[must_use]
    pub fn errors(self) -> Shaped<Self> {
        Shaped { errors: Some(ErrorCodec::shared()) }
    }
}

/// Shapes without an error, or with one that stays with the call that met it.
pub trait Errors: Shape {
    /// Resolves how errors are shared.
    #[must_use]
    fn errors(self) -> Shaped<Self> {
        Shaped { errors: None }
    }
}

impl<S: Shape> Errors for S {}
