//! Proves under real faults that a read which starts after an acknowledged invalidation never
//! returns an older version.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | the command line |
//! | `run`, `report` | one run on one backend, and what it has found |
//! | `faults`, `workers` | what goes wrong, and the processes to which it happens |
//! | `worker`, `world` | one process: a cache, readers, writers |
//! | `service`, `database` | the annotated functions, and the truth behind them in SQLite |
//! | `read`, `write`, `patience` | what the tasks do, and callers that go away |
//! | `promises`, `cells` | which version may still be answered for what |
//! | `shared`, `counts`, `trace` | the memory that all processes share |
//!
//! # How a read is judged
//!
//! A writer commits a version to SQLite, invalidates, and once that is acknowledged raises the
//! cell's *floor* in shared memory. A reader takes the floor before it calls and compares it with
//! the version in the answer. The floor was raised before it was read, so the invalidation was
//! acknowledged before the call began: an older answer is a stale read, whatever the machine was
//! doing. Every read is judged.
//!
//! An invalidation that was refused, or whose caller went away, raises the floor of its own
//! process only, and everybody's once the cache says that nothing is pending any more.

use std::{env, process::exit};

mod args;
mod cells;
mod counts;
mod database;
mod faults;
mod patience;
mod promises;
mod read;
mod report;
mod run;
mod service;
mod shared;
mod trace;
mod worker;
mod workers;
mod world;
mod write;

use args::{Args, WORKER, WorkerArgs};

fn main() {
    let mut list = env::args().skip(1).peekable();
    if list.next_if(|role| role == WORKER).is_some() {
        return worker::run(&WorkerArgs::parse(list));
    }
    let args = Args::parse(list);
    let mut clean = true;
    for backend in &args.backends {
        let report = run::run(&args, backend);
        println!("{report}\n");
        clean &= report.is_clean();
    }
    exit(i32::from(!clean));
}
