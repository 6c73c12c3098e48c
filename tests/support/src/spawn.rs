//! Starts processes that die with the test process.

use std::{
    io,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
    thread,
};

type Order = (Command, Sender<io::Result<Child>>);

/// The server that the tests run on: `REDIS_SERVER=/path/to/valkey-server` chooses another.
pub(crate) fn redis_server() -> Command {
    chosen_by("REDIS_SERVER")
}

/// The one for tests of TLS. `REDIS_TLS_SERVER` chooses another: not each build has TLS.
pub(crate) fn redis_tls_server() -> Command {
    chosen_by("REDIS_TLS_SERVER")
}

fn chosen_by(variable: &str) -> Command {
    let chosen = std::env::var(variable).ok().filter(|path| !path.is_empty());
    mortal(chosen.as_deref().unwrap_or("redis-server"))
}

/// A command that the kernel kills when this process is gone, however it goes, where the
/// platform can; elsewhere only `Drop` ends it.
fn mortal(program: &str) -> Command {
    if cfg!(target_os = "linux") && has_setpriv() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
        command
    } else {
        Command::new(program)
    }
}

/// Starts a command on a thread that lives as long as the process: the kernel's signal is sent
/// when the *thread* that started a child ends, and a test's thread ends with the test, while
/// a server may be shared by several tests.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Nobody waits any more if the sender's thread is gone; the child is then mortal.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, result) = mpsc::channel();
    nursery.send((command, answer)).map_err(io::Error::other)?;
    result.recv().map_err(io::Error::other)?
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}
