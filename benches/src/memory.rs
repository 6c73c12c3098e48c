//! Resident bytes of a million entries. Each contender fills a process of its own.

use std::{env, fs, process::Command};

use crate::{
    measure::Measured,
    model::{ids, one_thread},
    peers::{moka, ours, ours_sized},
    report::{Better, Outcome},
};

const ENTRIES: u64 = 1_000_000;
const GIB: u64 = 1 << 30;

pub fn run() -> Vec<Outcome> {
    let filled = [ours::NAME, ours_sized::NEAR, moka::NAME].map(|name| Measured::once(name, in_a_child(name)));
    let workload = "1,000,000 entries of 200 bytes, `u64` keys; ours near and local together";
    vec![
        Outcome::new("memory", workload, "resident bytes an entry", Better::Lower, filled.into())
            .at_most(1.5, moka::NAME),
    ]
}

fn in_a_child(name: &str) -> f64 {
    let child = env::current_exe().and_then(|program| Command::new(program).args(["fill", name]).output());
    let text = child.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.trim().parse().unwrap_or(f64::NAN)
}

/// Fills one contender and prints what an entry of it takes.
pub fn fill(name: &str) {
    let (runtime, ids) = (one_thread(), ids(ENTRIES));
    let room = ours_sized::build(&runtime, 2 * GIB, 4 * GIB);
    let moka = moka::Moka::new(2 * ENTRIES);
    let before = resident();
    let held = runtime.block_on(async {
        for id in ids {
            match name {
                ours::NAME => drop(ours_sized::text(&room, id).await),
                ours_sized::NEAR => drop(ours_sized::near_text(&room, id).await),
                _ => drop(moka::text(&moka, id).await),
            }
        }
        moka.0.run_pending_tasks().await;
        let stats = room.stats().await;
        stats.near_entries.max(stats.local_entries.unwrap_or(0)).max(moka.0.entry_count())
    });
    println!("{}", (resident() - before) / held as f64);
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0
}
