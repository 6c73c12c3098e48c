//! One run on one backend: the workers, the faults, and the verdict.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    args::{Args, WorkerArgs},
    counts::{self, Count},
    database,
    faults::{self, FAULTS, Network},
    report::Report,
    shared::{SLOTS, Shared},
    worker::{DATABASE, SHARED},
    workers::Workers,
};

pub fn run(args: &Args, backend: &str) -> Report {
    fastrand::seed(args.seed);
    let directory = tempfile::Builder::new().prefix("coherence-").tempdir().expect("a temporary directory");
    let shared = Shared::create(&directory.path().join(SHARED)).expect("shared memory");
    database::create(&directory.path().join(DATABASE)).expect("a database");
    let processes = args.processes.unwrap_or(if backend == "local" { 2 } else { 3 }).clamp(1, SLOTS);
    let network = (backend != "local").then(|| Network::new(processes));
    let worker = |slot: usize| WorkerArgs {
        backend: backend.to_owned(),
        slot,
        slots: processes,
        incarnation: 0,
        seed: args.seed,
        directory: directory.path().to_owned(),
        port: network.as_ref().map_or(0, |network| network.proxies[slot].port()),
        bound: args.bound,
        unfenced: args.unfenced,
    };
    let password = network.as_ref().map_or("", |network| network.server.password());
    let began = Instant::now();
    let mut workers = Workers::start((0..processes).map(worker).collect(), password);
    let faults = if args.calm {
        wait(&shared, args, began + args.length);
        FAULTS.map(|fault| (fault, 0)).into()
    } else {
        faults::run(network.as_ref(), &mut workers, &shared, || is_over(&shared, args, began + args.length))
    };
    shared.stop();
    let failed = workers.join();
    Report::new(&shared, backend, args, began.elapsed(), faults, failed)
}

/// A run without fences has shown what it is to show as soon as a stale read is found.
fn is_over(shared: &Shared, args: &Args, until: Instant) -> bool {
    let stale = || counts::total_of(shared, Count::StaleHere) + counts::total_of(shared, Count::StaleElsewhere);
    Instant::now() >= until || (args.unfenced && stale() > 0)
}

fn wait(shared: &Shared, args: &Args, until: Instant) {
    while !is_over(shared, args, until) {
        thread::sleep(Duration::from_millis(20));
    }
}
