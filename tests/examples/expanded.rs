//! The expansion that is written out.

use super::Example;

#[test]
fn the_expansion_by_hand_does_what_the_attribute_does() {
    let mut example = Example::new("expanded", &[]);
    let output = example.output();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    for path in ["expanded::written::Users::get_user", "expanded::expanded::Users::get_user"] {
        assert!(told.contains(&format!("{path}: 2 hits, 2 loads")), "{told}");
    }
}
