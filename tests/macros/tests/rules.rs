//! What the macros accept and how they refuse: one file a rule.
//!
//! After a change of a message, `TRYBUILD=overwrite cargo test -p cache-macro-rules` writes the expected
//! output anew; read the difference before it is committed.

#[test]
fn what_is_accepted_compiles_and_runs() {
    trybuild::TestCases::new().pass("pass/*.rs");
}

#[test]
fn what_is_refused_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
