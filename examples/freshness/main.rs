//! What a caller sees while an upstream is slow and then down, with and without each option.
//!
//! ```text
//! cargo run --example freshness             # half a minute, seventeen times over, told in a moment
//! cargo run --example freshness -- --json   # and once more for programs
//! ```
//!
//! Time is tokio's paused one, which jumps from one event to the next, and the cache's clock goes with
//! it: the story is the same each time, whatever the machine.
//!
//! `weather` holds the cached functions, `story` the callers, `herd` many keys under `jitter`.

#[path = "../shared/chart.rs"]
mod chart;
mod herd;
mod story;
mod weather;

use std::{error::Error, process::ExitCode};

use chart::Chart;
use story::{CALLS, EVERY, Seen, Summary, tell};
use weather::{PHASES, STORIES};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freshness: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let chart = Chart::new();
    println!("\nA call every {} ms to an upstream that takes 300 ms, then 1500 ms, then fails.", EVERY.as_millis());
    println!("The height is how long the caller waited; × is a failure, and a value past its time is yellow.\n");
    println!("{}", phases());
    let mut summaries = Vec::new();
    for (choice, name, shows) in STORIES {
        let (seen, loads) = tell(choice).await?;
        let summary = Summary::new(name, &seen, loads);
        let bars = chart.line(seen.iter().map(Seen::mark));
        println!("\n{}\n{bars}\n{}", chart.title(name, shows), summary.figures());
        summaries.push(summary);
    }
    let herds = [herd::herd(false).await?, herd::herd(true).await?];
    herd::draw(&chart, &herds);
    if std::env::args().any(|argument| argument == "--json") {
        let busiest = herds.map(|loads| loads.into_iter().skip(1).max());
        println!(
            "{}",
            serde_json::json!({ "options": summaries, "busiest": { "even": busiest[0], "jitter": busiest[1] } })
        );
    }
    Ok(())
}

/// The upstream's states, above the calls that meet them.
fn phases() -> String {
    let mut began = 0;
    let width = |seconds: u32| (CALLS / 32 * seconds) as usize;
    let parts = PHASES.map(|(until, _, name)| {
        let part = format!("{:─<1$}", format!("┬ {name} "), width(until - began));
        began = until;
        part
    });
    parts.concat()
}
