//! A real `redis-server` for one test or for several.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hasher},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    certificates::Certificate,
    client::{Client, Reply},
    spawn,
};

/// The database that the cache uses unless told otherwise.
const DB: u32 = 1;

/// A start takes a few milliseconds; this is for a machine that is busy.
const START_WITHIN: Duration = Duration::from_secs(20);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    args: Vec<String>,
    persistent: bool,
    password: Option<String>,
    in_cluster: bool,
    tls: Option<ServerTls>,
}

/// With which certificate a server speaks TLS, and whom it asks for one.
#[derive(Debug, Clone)]
pub(crate) struct ServerTls {
    certificate: Certificate,
    clients: Option<PathBuf>,
}

impl Settings {
    /// No extra arguments, nothing kept on disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more argument, as on the command line: `.arg("--maxmemory").arg("3mb")`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Several more arguments.
    #[must_use]
    pub(crate) fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A node of a cluster, which has only database 0.
    #[must_use]
    pub(crate) fn node_of_cluster(mut self) -> Self {
        self.in_cluster = true;
        self.args(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"])
    }

    /// Whether `SAVE` may write a snapshot that a restart loads again. Default no.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// A password that other servers have, too. Default: one of its own.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The server speaks TLS on a port of its own ([`RedisServer::tls_port`]), with this certificate; it asks
    /// clients for one that an authority has signed, if its PEM file is given.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate, clients: Option<PathBuf>) -> Self {
        self.tls = Some(ServerTls { certificate: certificate.clone(), clients });
        self
    }

    /// The same, and servers that belong together speak TLS with each other; the authority has signed the
    /// certificates of all.
    #[must_use]
    pub(crate) fn tls_throughout(self, certificate: &Certificate, authority: PathBuf) -> Self {
        self.tls(certificate, Some(authority)).args(["--tls-cluster", "yes", "--tls-replication", "yes"])
    }

    pub(crate) fn spoken_tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Starts the server; panics when it cannot.
    #[must_use]
    pub fn start(self) -> RedisServer {
        RedisServer::with(self)
    }
}

/// A running server with a password of its own, on a free port. Dropping it ends it.
pub struct RedisServer {
    child: Mutex<Option<Child>>,
    settings: Settings,
    dir: TempDir,
    port: u16,
    tls_port: u16,
    password: String,
}

impl ServerTls {
    /// Lines of a configuration.
    pub(crate) fn lines(&self, port: u16) -> [(&'static str, String); 5] {
        let path = |path: &Path| path.display().to_string();
        let clients = self.clients.as_deref();
        [
            ("tls-port", port.to_string()),
            ("tls-cert-file", path(&self.certificate.cert)),
            ("tls-key-file", path(&self.certificate.key)),
            ("tls-auth-clients", if clients.is_some() { "yes" } else { "no" }.to_owned()),
            // It wants some authority in any case.
            ("tls-ca-cert-file", path(clients.unwrap_or(&self.certificate.cert))),
        ]
    }
}

impl RedisServer {
    /// What servers that belong together have for a password.
    pub(crate) const PASSWORD_OF_ALL: &'static str = "pw-of-all-servers";

    /// Starts a server; panics when `redis-server` is missing or does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Settings::new())
    }

    /// Starts a server with settings of your own.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        let dir = tempfile::Builder::new().prefix("cache-redis-").tempdir().expect("a temporary directory");
        let password = settings.password.clone().unwrap_or_else(random_password);
        let mut server = Self { child: Mutex::new(None), settings, dir, port: 0, tls_port: 0, password };
        // Another process may take the port between our look and the server's bind.
        for _ in 0..20 {
            let free_port = if server.settings.in_cluster { free_port_of_node } else { free_port };
            (server.port, server.tls_port) = (free_port(), free_port());
            if server.launch().is_ok() {
                return server;
            }
        }
        panic!("redis-server did not start on any of 20 free ports; is it installed?");
    }

    /// `127.0.0.1`.
    #[must_use]
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The port, the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS, if it was told to.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where clients and other servers are told to find it: where it speaks TLS, if it was told to.
    #[must_use]
    pub fn public_port(&self) -> u16 {
        if self.settings.tls.is_some() { self.tls_port } else { self.port }
    }

    /// The password of the default user.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Host, port, password and database 1, which is the cache's default.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{}@{}:{}/{DB}", self.password, self.host(), self.port)
    }

    /// Runs one command on database 1 and gives the text that `redis-cli` prints. An error that
    /// the server answers is part of that text.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> String {
        self.command(args).to_string()
    }

    /// The same of a server that may be gone.
    pub(crate) fn try_cli(&self, args: &[&str]) -> Option<String> {
        let mut client = Client::connect(self.port, &self.password, self.db()).ok()?;
        client.command(args).ok().map(|reply| reply.to_string())
    }

    /// Runs one command on database 1.
    #[must_use]
    pub fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> Reply {
        self.client().command(args).expect("the server answers")
    }

    /// A connection to database 1.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.port, &self.password, self.db()).expect("the server accepts connections")
    }

    fn db(&self) -> u32 {
        if self.settings.in_cluster { 0 } else { DB }
    }

    /// A connection of its own with another password, after it was changed.
    #[must_use]
    pub fn client_with(&self, password: &str) -> Client {
        Client::connect(self.port, password, DB).expect("the server accepts connections")
    }

    /// Commands that the server has processed, this question included.
    #[must_use]
    pub fn commands_processed(&self) -> u64 {
        let info = self.cli(&["INFO", "stats"]);
        let count = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        count.and_then(|count| count.trim().parse().ok()).expect("INFO counts commands")
    }

    /// Ends the server at once (`SIGKILL`); what it held is lost.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Freezes the server (`SIGSTOP`): connections stay open and nothing answers.
    pub fn stop_process(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn continue_process(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the server if it runs and starts it again on the same port; panics when it cannot.
    pub fn restart(&self) {
        self.kill();
        let until = Instant::now() + START_WITHIN;
        while let Err(error) = self.launch() {
            assert!(Instant::now() < until, "redis-server did not start again: {error}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn launch(&self) -> io::Result<()> {
        let mut command = match self.settings.tls {
            Some(_) => spawn::redis_tls_server(),
            None => spawn::redis_server(),
        };
        let tls = self.settings.tls.iter().flat_map(|tls| tls.lines(self.tls_port));
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--requirepass", &self.password])
            .arg("--dir")
            .arg(self.dir.path())
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.settings.args)
            .args(tls.flat_map(|(name, value)| [format!("--{name}"), value]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !self.settings.persistent {
            let _ = std::fs::remove_file(self.dir.path().join("dump.rdb"));
        }
        *self.child() = Some(spawn::spawn(command)?);
        self.wait_until_ready().inspect_err(|_| self.kill())
    }

    /// Only a server with our password answers our `PING`, so it is not somebody else's.
    fn wait_until_ready(&self) -> io::Result<()> {
        let until = Instant::now() + START_WITHIN;
        let mut pause = Duration::from_millis(1);
        loop {
            if self.answers() {
                return Ok(());
            }
            if self.has_exited() {
                return Err(io::Error::other("redis-server ended while it started"));
            }
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let client = Client::connect_within(self.port, &self.password, self.db(), Duration::from_secs(1));
        client.and_then(|mut client| client.command(&["PING"])).is_ok_and(|reply| reply == Reply::Status("PONG".into()))
    }

    fn has_exited(&self) -> bool {
        self.child().as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = self.child().as_ref() {
            kill_process(Pid::from_child(child), signal).expect("the server's process takes signals");
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer").field("port", &self.port).finish_non_exhaustive()
    }
}

/// No port is given out twice: who belonged to a server that is gone may still look for it there, and nodes
/// of a cluster would make friends with its successor.
fn is_new(port: u16) -> bool {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port)
}

/// Nodes of a cluster talk to each other on a second port, 10000 above.
fn free_port_of_node() -> u16 {
    loop {
        // The system gives out high ports; a lower one leaves room above it.
        let low = system_port() / 2;
        if is_new(low)
            && TcpListener::bind(("127.0.0.1", low)).is_ok()
            && TcpListener::bind(("127.0.0.1", low + 10_000)).is_ok()
        {
            return low;
        }
    }
}

pub(crate) fn free_port() -> u16 {
    loop {
        let port = system_port();
        if is_new(port) {
            return port;
        }
    }
}

fn system_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Not secret, only different from that of any other test's server.
pub(crate) fn random_password() -> String {
    format!("pw-{:016x}", RandomState::new().build_hasher().finish())
}
