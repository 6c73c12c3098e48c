//! What `freshness` draws.

use std::{process::Stdio, time::Instant};

use serde_json::Value;

use super::{Example, PATIENCE};

#[test]
fn freshness_draws_what_each_option_does_to_a_caller() {
    let mut example = Example::new("freshness", &[]);
    let began = Instant::now();
    let output = example.command.arg("--json").stdin(Stdio::null()).output().expect("the example runs");
    assert!(began.elapsed() < PATIENCE);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("its last line is JSON");
    let options = summary["options"].as_array().expect("one entry an option");
    for option in options {
        let title = format!("\n{}: ", option["option"].as_str().expect("a name"));
        let (_, story) = said.split_once(&title).expect("each option has its title");
        let bars = story.lines().nth(1).expect("and its bars").chars().count();
        assert_eq!(Some(bars as u64), option["calls"].as_u64(), "{story}");
    }
    let of = |name: &str| {
        let find = |option: &&Value| option["option"].as_str().is_some_and(|option| option.starts_with(name));
        options.iter().find(find).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    let figure = |name: &str, figure: &str| of(name)[figure].as_u64().expect("a number");

    assert_eq!(figure("no cache", "slow"), figure("no cache", "calls"));
    assert!(figure("ttl", "slow") > 3 && figure("ttl", "failed") > 3, "{said}");
    assert!(figure("ttl", "loads") < figure("no cache", "loads") / 2, "{said}");
    let ahead = of("refresh_ahead")["latencies_ms"].as_array().expect("a list");
    assert!(ahead[1..36].iter().all(|ms| ms.as_u64() < Some(50)), "nobody waits while it answers: {said}");
    assert_eq!(figure("stale_if_error", "failed"), 0, "{said}");
    assert_eq!(figure("soft_timeout", "failed"), 0, "{said}");
    assert!(figure("soft_timeout", "longest_ms") <= 110, "{said}");
    for patient in ["stale_while_revalidate", "all of them"] {
        assert_eq!((figure(patient, "slow"), figure(patient, "failed")), (1, 0), "only the first waits: {said}");
        assert!(figure(patient, "oldest_ms") < 24_000, "{said}");
    }
    assert_eq!((figure("sliding", "loads"), figure("sliding", "failed")), (1, 0), "{said}");
    let left = [figure("callers leave", "failed"), figure("detached", "failed")];
    assert!(left[1] + 8 < left[0], "the loads did not go on: {said}");
    assert_eq!(figure("nothing to be found", "slow"), figure("nothing to be found", "calls"), "{said}");
    assert!(figure("negative_ttl", "slow") < figure("negative_ttl", "calls") / 2, "{said}");
    let fixed = figure("ttl = 4, forecasts", "late");
    assert!(fixed > 0 && figure("ttl_with", "late") == 0, "each is kept as long as it holds: {said}");
    assert!(figure("when", "slow") >= figure("when", "calls") / 4, "{said}");
    let slow = of("unless")["latencies_ms"].as_array().expect("a list");
    assert!(slow[27..36].iter().all(|ms| ms.as_u64() > Some(50)), "what a slow upstream says is not kept: {said}");
    let bypass = of("Cache::bypass")["latencies_ms"].as_array().expect("a list");
    let waits = |call: usize| bypass[call].as_u64() > Some(50);
    assert!((1..20).all(|call| waits(call) == (call % 4 == 3)), "one in four waits for the others: {said}");
    assert_eq!(summary["busiest"]["even"], 200);
    assert!(summary["busiest"]["jitter"].as_u64() < Some(60), "an even share is 20: {said}");
}
