//! The command line.

use std::{path::PathBuf, process::exit, time::Duration};

use cache_runtime::Backend;

const USAGE: &str = "\
Looks for stale reads while caches are invalidated and everything fails.

  --backend NAME    local, redis, tiered or all (default: all that this build has)
  --minutes N       how long, for each backend; --seconds N likewise (default: 12 s)
  --seed N          of what is random (default: from the system; it is printed)
  --processes N     worker processes (default 3; 2 on the embedded backend)
  --bound-ms N      after how long other processes must honour an invalidation on `tiered` (default 2000)
  --calm            no faults
  --unfenced        takes the fences out: stale reads must be found then";

/// The name of a role is the first argument of a process that this program starts itself.
pub const WORKER: &str = "worker";

#[derive(Debug, Clone)]
pub struct Args {
    pub backends: Vec<String>,
    pub length: Duration,
    pub seed: u64,
    pub processes: Option<usize>,
    pub bound: Duration,
    pub calm: bool,
    pub unfenced: bool,
}

/// What a worker is told. The server's password is in its environment.
#[derive(Debug, Clone)]
pub struct WorkerArgs {
    pub backend: String,
    pub slot: usize,
    pub slots: usize,
    /// How many workers had this slot before.
    pub incarnation: u64,
    pub seed: u64,
    pub directory: PathBuf,
    pub port: u16,
    pub bound: Duration,
    pub unfenced: bool,
}

/// The variable that holds the server's password.
pub const PASSWORD: &str = "COHERENCE_REDIS_PASSWORD";

impl Args {
    pub fn parse(args: impl Iterator<Item = String>) -> Self {
        let mut parsed = Self {
            backends: all_backends(),
            length: Duration::from_secs(12),
            seed: fastrand::u64(..1 << 32),
            processes: None,
            bound: Duration::from_secs(2),
            calm: false,
            unfenced: false,
        };
        let mut args = args;
        while let Some(name) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| fail(&format!("{name} needs a value")));
            match name.as_str() {
                "--backend" => parsed.backends = backends(&value()),
                "--minutes" => parsed.length = Duration::from_secs_f64(60.0 * number::<f64>(&value())),
                "--seconds" => parsed.length = Duration::from_secs_f64(number(&value())),
                "--seed" => parsed.seed = number(&value()),
                "--processes" => parsed.processes = Some(number(&value())),
                "--bound-ms" => parsed.bound = Duration::from_millis(number(&value())),
                "--calm" => parsed.calm = true,
                "--unfenced" => parsed.unfenced = true,
                _ => fail(&format!("there is no argument `{name}`")),
            }
        }
        parsed
    }
}

impl WorkerArgs {
    pub fn to_list(&self) -> Vec<String> {
        vec![
            WORKER.to_owned(),
            self.backend.clone(),
            self.slot.to_string(),
            self.slots.to_string(),
            self.incarnation.to_string(),
            self.seed.to_string(),
            self.directory.display().to_string(),
            self.port.to_string(),
            self.bound.as_millis().to_string(),
            self.unfenced.to_string(),
        ]
    }

    /// The inverse, after the role.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Self {
        let mut next = || args.next().unwrap_or_else(|| fail("a worker is started by this program only"));
        Self {
            backend: next(),
            slot: number(&next()),
            slots: number(&next()),
            incarnation: number(&next()),
            seed: number(&next()),
            directory: next().into(),
            port: number(&next()),
            bound: Duration::from_millis(number(&next())),
            unfenced: next() == "true",
        }
    }
}

/// The backends that the crate has been built with.
fn all_backends() -> Vec<String> {
    let known = ["local", "redis", "tiered"];
    known.into_iter().filter(|name| name.parse::<Backend>().is_ok()).map(str::to_owned).collect()
}

fn backends(name: &str) -> Vec<String> {
    match name {
        "all" => all_backends(),
        name => match name.parse::<Backend>() {
            Ok(_) => vec![name.to_owned()],
            Err(error) => fail(&error.to_string()),
        },
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| fail(&format!("`{text}` is no number that fits here")))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}\n\n{USAGE}");
    exit(2)
}
