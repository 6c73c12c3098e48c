//! The worker processes, as their parent sees them.

use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::args::{PASSWORD, WorkerArgs};

/// How long a worker may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);

pub struct Workers {
    running: Vec<(WorkerArgs, Child)>,
    password: String,
    /// Workers that ended though nobody told them to.
    pub failed: u64,
}

impl Workers {
    pub fn start(all: Vec<WorkerArgs>, password: &str) -> Self {
        let running = all.into_iter().map(|args| (args.clone(), spawn(&args, password))).collect();
        Self { running, password: password.to_owned(), failed: 0 }
    }

    /// Kills one in the middle of what it does, and starts another in its place.
    pub fn replace_one(&mut self) {
        let index = fastrand::usize(..self.running.len());
        let (args, child) = &mut self.running[index];
        let _ = child.kill();
        let _ = child.wait();
        args.incarnation += 1;
        *child = spawn(args, &self.password);
    }

    /// Notices workers that ended by themselves, and replaces them.
    pub fn check(&mut self) {
        for (args, child) in &mut self.running {
            if !matches!(child.try_wait(), Ok(None)) {
                self.failed += 1;
                args.incarnation += 1;
                *child = spawn(args, &self.password);
            }
        }
    }

    /// Waits for all to end; they have been told.
    pub fn join(mut self) -> u64 {
        let until = Instant::now() + END_WITHIN;
        for (_, child) in &mut self.running {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
            let ended = child.try_wait().ok().flatten();
            self.failed += u64::from(!ended.is_some_and(|status| status.success()));
            let _ = child.kill();
            let _ = child.wait();
        }
        self.failed
    }
}

fn spawn(args: &WorkerArgs, password: &str) -> Child {
    let program = env::current_exe().expect("this program's own path");
    let mut command = Command::new(program);
    command.args(args.to_list()).env(PASSWORD, password).stdin(Stdio::piped());
    command.spawn().expect("another process of this program")
}
