//! Instructions of a call, counted by callgrind.
//!
//! They are nearly the same on every run, whatever else the machine does: what makes a call dearer
//! shows here first. `INSTRUCTIONS` holds what ours took when it was last found good.

use std::{env, fs, path::PathBuf, process::Command};

use crate::{
    hits,
    measure::Measured,
    peers::{concurrent_cached, moka, ours, quick_cache},
    report::{Better, Outcome},
};

/// Calls of ours that are compared with what was kept.
const OURS: [&str; 4] = [ours::NAME, hits::OWNED, hits::STRING, hits::MISS];
/// Hash seeds and addresses are others in each run.
const TOLERANCE: f64 = 0.05;

/// The group: a hit of ours beside the peers', where valgrind is installed.
pub fn run() -> Vec<Outcome> {
    let names = [ours::NAME, concurrent_cached::NAME, moka::NAME, quick_cache::NAME];
    let measured: Option<Vec<Measured>> =
        names.into_iter().map(|name| Some(Measured::once(name, of_a_call(name)?))).collect();
    let Some(measured) = measured else {
        eprintln!("instructions: not measured: valgrind is missing");
        return Vec::new();
    };
    let workload = "`u64` key, `Arc<User>`, 1,000 keys, counted by callgrind";
    vec![Outcome::new("instructions", workload, "instructions a hit", Better::Lower, measured)]
}

/// Whether no call of ours takes more than was kept, which is printed beside it.
///
/// # Errors
///
/// What could not be counted or read.
pub fn compare() -> Result<bool, String> {
    let text = fs::read_to_string(file()).map_err(|error| format!("{}: {error}", file().display()))?;
    let mut is_good = true;
    for name in OURS {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let kept: f64 = line.and_then(|number| number.parse().ok()).ok_or(format!("{name}: nothing was kept"))?;
        let now = of_a_call(name).ok_or("valgrind is missing")?;
        let is_dearer = now > kept * (1.0 + TOLERANCE);
        is_good &= !is_dearer;
        println!("{name}: {now:.0}, kept {kept:.0}{}", if is_dearer { ": dearer" } else { "" });
    }
    Ok(is_good)
}

/// Keeps what ours take now.
///
/// # Errors
///
/// What could not be counted or written.
pub fn keep() -> Result<(), String> {
    let line = |name: &str| Some(format!("{name}: {:.0}\n", of_a_call(name)?));
    let text: String = OURS.into_iter().map(line).collect::<Option<_>>().ok_or("valgrind is missing")?;
    print!("{text}");
    fs::write(file(), text).map_err(|error| format!("{}: {error}", file().display()))
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("INSTRUCTIONS")
}

fn of_a_call(name: &str) -> Option<f64> {
    const FEW: u64 = 5_000;
    const MANY: u64 = 25_000;
    Some((count(name, MANY)? - count(name, FEW)?) / (MANY - FEW) as f64)
}

fn count(name: &str, calls: u64) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args(["hits", &calls.to_string(), name])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, collected) = text.split_once("Collected : ")?;
    collected.split_whitespace().next()?.parse().ok()
}
