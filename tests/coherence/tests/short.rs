//! Short runs of the checker: no stale read with the fences, and stale reads without them.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cache-coherence")).args(args).output().expect("the checker runs")
}

/// The number at the end of the line that begins with `name`.
fn figure(report: &str, name: &str) -> u64 {
    let line = report.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {report}"));
    line.split_whitespace().last().and_then(|number| number.parse().ok()).expect("a number")
}

/// Prints the report, so that a failure can be understood.
fn report(output: &Output) -> String {
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{report}\n{}", String::from_utf8_lossy(&output.stderr));
    report
}

fn finds_nothing(backend: &str, seconds: &str, reads: u64) {
    let output = run(&["--backend", backend, "--seconds", seconds]);
    let report = report(&output);
    assert!(output.status.success(), "the checker has found something");
    assert_eq!(figure(&report, "stale reads"), 0);
    assert!(figure(&report, "reads checked") > reads);
    assert!(figure(&report, "faults injected") > 0);
    assert!(figure(&report, "fills rejected") > 0, "no load was ever overtaken");
}

fn finds_stale_reads_without_fences(backend: &str) {
    let output = run(&["--backend", backend, "--seconds", "20", "--unfenced"]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(figure(&report, "stale reads") > 0);
}

#[test]
fn nothing_stale_is_read_on_the_embedded_backend() {
    finds_nothing("local", "8", 20_000);
}

#[test]
fn nothing_stale_is_read_on_redis_whatever_fails() {
    finds_nothing("redis", "12", 5_000);
}

#[test]
fn nothing_stale_is_read_on_the_tiered_backend_whatever_fails() {
    finds_nothing("tiered", "12", 5_000);
}

#[test]
fn without_fences_stale_reads_are_found() {
    finds_stale_reads_without_fences("local");
    finds_stale_reads_without_fences("redis");
    finds_stale_reads_without_fences("tiered");
}
