//! What a load takes with it that goes on without its caller.

use std::borrow::Borrow;

/// A receiver that a background load can take along.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken along by a load in the background",
    label = "this receiver is not `Clone`",
    note = "derive `Clone` for `{Self}` and keep what is large or unique in it behind `Arc`, or take `self: Arc<Self>`",
    note = "or leave out `stale_while_revalidate`, `refresh_ahead`, `soft_timeout` and `detached`"
)]
pub trait OwnSelf: Sized {
    /// A receiver of its own.
    fn own_self(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> OwnSelf for T {
    fn own_self(&self) -> Self {
        self.clone()
    }
}

/// A receiver for a background load.
pub fn own_self<T: OwnSelf>(receiver: &T) -> T {
    receiver.own_self()
}

/// An argument that a background load can take along.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken along by a load in the background",
    label = "this argument is not `Clone`",
    note = "derive `Clone` for it, or pass it as `Arc<{Self}>`",
    note = "or leave out `stale_while_revalidate`, `refresh_ahead`, `soft_timeout` and `detached`"
)]
pub trait Own: Sized {
    /// An argument of its own.
    fn own(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> Own for T {
    fn own(&self) -> Self {
        self.clone()
    }
}

/// An argument for a background load.
pub fn own<T: Own>(argument: &T) -> T {
    argument.own()
}

/// A borrowed argument that a background load can take along.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` cannot be taken along by a load in the background",
    label = "what this argument refers to is not `Clone`",
    note = "derive `Clone` for `{Self}`, or pass it as `Arc<{Self}>`",
    note = "or leave out `stale_while_revalidate`, `refresh_ahead`, `soft_timeout` and `detached`"
)]
pub trait OwnBorrowed {
    /// What it is when owned.
    type Owned: Borrow<Self>;
    /// An argument of its own.
    fn own_borrowed(&self) -> Self::Owned;
}

#[diagnostic::do_not_recommend]
impl<T: ToOwned + ?Sized> OwnBorrowed for T {
    type Owned = T::Owned;
    fn own_borrowed(&self) -> T::Owned {
        self.to_owned()
    }
}

/// A borrowed argument for a background load.
pub fn own_borrowed<T: OwnBorrowed + ?Sized>(argument: &T) -> T::Owned {
    argument.own_borrowed()
}

/// Gives an owned argument to the function that borrows it.
pub fn lend<T: OwnBorrowed + ?Sized>(owned: &T::Owned) -> &T {
    owned.borrow()
}
