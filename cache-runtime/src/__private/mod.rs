//! All that generated code may name. Not public API: it changes without notice.

mod function;
mod shape;
pub use function::{Function, Plan, REGISTRY};
pub use shape::{Bare, Errors, Inner, L1, Opt, Outcome, Outer, Plain, Res, ResOpt, Shape, Shaped, Split};
