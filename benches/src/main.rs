//! Measures annotated functions of `cache-runtime` beside its peers and prints one table.
//!
//! | module | what it does |
//! |---|---|
//! | `measure` | alternating rounds in one process, medians, ratios |
//! | `allocations` | the allocator that counts |
//! | `report`, `chart` | the Markdown table, `RESULTS.md`, the SVG chart |
//! | `model` | the values, the keys, the runtimes |
//! | `peers` | one file a peer, each set up at its best |
//! | `hits` | calls of one kind and nothing else, for tools that count |
//! | all others | one group of the table each |

use std::{env, process::exit};

mod allocations;
mod build;
mod chart;
mod herd;
mod hit;
mod hits;
mod instructions;
mod measure;
mod memory;
mod miss;
mod model;
mod peers;
mod redis;
mod replay;
mod report;
mod scaling;
mod stale;
mod tags;
mod trace;
mod zipf;

use report::Outcome;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

/// A group of the table: its name, and what measures it.
type Group = (&'static str, fn() -> Vec<Outcome>);

const GROUPS: [Group; 12] = [
    ("hit", hit::run),
    ("instructions", instructions::run),
    ("scaling", scaling::run),
    ("zipf", zipf::run),
    ("trace", trace::run),
    ("miss", miss::run),
    ("redis", redis::run),
    ("herd", herd::run),
    ("tags", tags::run),
    ("stale", stale::run),
    ("memory", memory::run),
    ("build", build::run),
];

const USAGE: &str = "usage: cache-benches table [--only GROUP]
       cache-benches instructions [--keep]    compares ours with the file INSTRUCTIONS, or writes it
       cache-benches hits N [CONTENDER]    N hits and nothing else, for callgrind
       cache-benches redis TASKS N [CONTENDER]    N hits over Redis and nothing else, for a profiler";

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["table"] => table(None),
        ["table", "--only", group] => table(Some(group)),
        ["fill", contender] => memory::fill(contender),
        ["hits", count] => hits::run(number(count), peers::ours::NAME),
        ["hits", count, contender] => hits::run(number(count), contender),
        ["redis", tasks, count] => over_redis(tasks, count, peers::ours::NAME),
        ["redis", tasks, count, contender] => over_redis(tasks, count, contender),
        ["instructions"] => compare(),
        ["instructions", "--keep"] => instructions::keep().unwrap_or_else(|message| stop(&message)),
        _ => stop(USAGE),
    }
}

/// Ends with 1 where a call of ours has become dearer.
fn compare() {
    if !instructions::compare().unwrap_or_else(|message| stop(&message)) {
        exit(1)
    }
}

fn over_redis(tasks: &str, count: &str, contender: &str) {
    let hits = redis::hits(number(tasks) as usize, number(count) as usize, contender);
    hits.unwrap_or_else(|error| stop(&error.to_string()));
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| stop(USAGE))
}

fn stop(message: &str) -> ! {
    eprintln!("{message}");
    exit(2)
}

fn table(only: Option<&str>) {
    let names = || GROUPS.map(|(name, _)| name).join(", ");
    let chosen: Vec<&Group> = GROUPS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        stop(&format!("there is no such group; there are {}", names()));
    }
    let mut outcomes = Vec::new();
    for (name, run) in chosen {
        eprintln!("measuring {name} …");
        outcomes.extend(run());
    }
    print!("{}", report::markdown(&outcomes));
    if only.is_none() {
        report::write(&outcomes);
    }
}
