//! Hit ratio on a database's page references, where the trace is present.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    path::PathBuf,
};

use crate::{
    measure::Measured,
    model::{self, one_thread},
    peers::{ours_sized::Weights, quick_cache},
    replay,
    report::{Better, Outcome},
    zipf,
};

const ROOMS: [(u64, &str); 4] =
    [(1_000, "trace, 1,000"), (2_000, "trace, 2,000"), (5_000, "trace, 5,000"), (10_000, "trace, 10,000")];

pub fn run() -> Vec<Outcome> {
    let keys = match read() {
        Ok(keys) => keys,
        Err(error) => {
            eprintln!("trace: not measured: {error}");
            return Vec::new();
        }
    };
    let runtime = one_thread();
    let weights = Weights::weigh(&runtime);
    let outcome = |&(room, name): &(u64, &'static str)| {
        let played = replay::all(&runtime, &weights, room, &keys, model::load);
        let measured = played.iter().map(|row| Measured::once(row.name, row.hit_ratio)).collect();
        let workload = format!("OLTP.lis, {} look-ups, room for {room} entries", keys.len());
        Outcome::new(name, workload, "percent of hits", Better::Higher, measured)
            .at_least(1.0, quick_cache::LOADING)
            .note(zipf::held(&played))
    };
    ROOMS.iter().map(outcome).collect()
}

/// `CACHE_BENCH_TRACES` names the folder where it is not beside the project.
fn read() -> io::Result<Vec<u64>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let folder = env::var_os("CACHE_BENCH_TRACES").map_or_else(beside, PathBuf::from);
    let decoder = zstd::Decoder::new(fs::File::open(folder.join("OLTP.lis.zst"))?)?;
    let mut keys = Vec::new();
    for line in BufReader::new(decoder).lines() {
        let line = line?;
        let mut numbers = line.split(' ').filter_map(|number| number.parse::<u64>().ok());
        if let (Some(first), Some(count)) = (numbers.next(), numbers.next()) {
            keys.extend(first..first + count);
        }
    }
    Ok(keys)
}
