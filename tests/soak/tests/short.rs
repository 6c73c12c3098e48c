//! The long run, for a moment.

use std::process::Command;

#[test]
fn a_short_soak_keeps_its_budgets() {
    let ran = Command::new(env!("CARGO_BIN_EXE_cache-soak")).arg("2s").output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{printed}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(printed.lines().count() > 5 && printed.contains("budgets held"), "{printed}");
}

#[test]
fn another_length_is_an_error_that_says_what_to_write() {
    let ran = Command::new(env!("CARGO_BIN_EXE_cache-soak")).arg("long").output().unwrap();
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("`10m`"));
}
