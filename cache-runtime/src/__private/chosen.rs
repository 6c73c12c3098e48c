//! What may stand in `cache = …`.

use std::{rc::Rc, sync::Arc};

use crate::cache::Cache;

/// A cache, or what leads to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cache",
    label = "expected a `Cache`, or a reference or an `Arc` to one",
    note = "a cache that is made at the first call is reached with `&*CACHE`"
)]
pub trait Chosen {
    /// The cache.
    fn cache(&self) -> &Cache;
}

impl Chosen for Cache {
    fn cache(&self) -> &Cache {
        self
    }
}

macro_rules! pointers {
    ($($pointer:ty),+) => {$(
        impl<C: Chosen + ?Sized> Chosen for $pointer {
            fn cache(&self) -> &Cache {
                (**self).cache()
            }
        }
    )+};
}

pointers!(&C, &mut C, Box<C>, Rc<C>, Arc<C>);

/// The cache that a function names.
pub fn chosen<C: Chosen + ?Sized>(chosen: &C) -> &Cache {
    chosen.cache()
}
