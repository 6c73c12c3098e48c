//! A master, its replicas, and the sentinels who watch them.

use std::{
    fmt, fs,
    io::{self, Write},
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    certificates::Certificate,
    client::{Client, Reply},
    server::{RedisServer, ServerTls, Settings, free_port, random_password},
    spawn,
};

/// Discovery takes a few seconds; this is for a machine that is busy.
const WITHIN: Duration = Duration::from_secs(60);
const SENTINELS: usize = 3;
const REPLICAS: usize = 2;

/// One master, two replicas and three sentinels that agree within half a second that a master is down.
/// Dropping it ends all of them.
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
    password: String,
}

struct Sentinel {
    child: Child,
    port: u16,
    tls_port: Option<u16>,
    _dir: TempDir,
}

/// Where a sentinel listens: plainly, for the tests themselves, and with TLS.
struct Listens<'a> {
    port: u16,
    tls: Option<(&'a ServerTls, u16)>,
}

impl Sentinels {
    /// What the sentinels call the master.
    pub const MASTER: &'static str = "mymaster";

    /// Starts all and waits until they know of each other; panics when they do not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&Settings::new())
    }

    /// The same where all speak TLS with this certificate, to each other too, and ask whoever connects for
    /// one that the authority has signed.
    #[must_use]
    pub fn over_tls(certificate: &Certificate, authority: PathBuf) -> Self {
        Self::with(&Settings::new().tls_throughout(certificate, authority))
    }

    fn with(settings: &Settings) -> Self {
        let password = random_password();
        // A replica shows the master's password, and any of them may become one.
        let of_a_server = || {
            let settings = settings.clone().arg("--masterauth").arg(RedisServer::PASSWORD_OF_ALL);
            settings.arg("--repl-diskless-sync-delay").arg("0").password(RedisServer::PASSWORD_OF_ALL)
        };
        let master = of_a_server().start();
        let port = master.public_port();
        let replica = |_| of_a_server().arg("--replicaof").arg("127.0.0.1").arg(port.to_string()).start();
        let servers: Vec<_> = std::iter::once(master).chain((0..REPLICAS).map(replica)).collect();
        wait_until("the replicas follow", || {
            servers[0].cli(&["INFO", "replication"]).matches("state=online").count() == REPLICAS
        });
        let tls = settings.spoken_tls();
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(port, &password, tls)).collect();
        let this = Self { servers, sentinels, password };
        wait_until("the sentinels know each other", || this.sentinels.iter().all(|one| this.knows_all(one)));
        this
    }

    /// Where the sentinels listen, on this machine; with TLS if they speak it.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.tls_port.unwrap_or(sentinel.port)).collect()
    }

    /// The password on the sentinels.
    #[must_use]
    pub fn sentinel_password(&self) -> &str {
        &self.password
    }

    /// The password on the servers.
    #[must_use]
    pub fn server_password(&self) -> &str {
        RedisServer::PASSWORD_OF_ALL
    }

    /// The master and the replicas that it began with.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The server that the sentinels take for the master, once they agree.
    #[must_use]
    pub fn master(&self) -> &RedisServer {
        let mut port = None;
        wait_until("the sentinels agree", || {
            port = self.port_of_master();
            port.is_some()
        });
        self.servers.iter().find(|server| Some(server.public_port()) == port).expect("the master is one of ours")
    }

    /// Has the sentinels make another server the master, and waits until it is.
    pub fn fail_over(&self) {
        let before = self.master().port();
        // Refused while another failover is under way.
        wait_until("a failover begins", || {
            self.ask(&self.sentinels[0], &["SENTINEL", "FAILOVER", Self::MASTER]) == Some(Reply::Status("OK".into()))
        });
        self.wait_until_master_is_another_than(before);
    }

    /// Waits until the sentinels have made another server the master than the one on this port.
    pub fn wait_until_master_is_another_than(&self, port: u16) {
        wait_until("another master", || {
            let now = self.master();
            now.port() != port && now.cli(&["ROLE"]).starts_with("master")
        });
    }

    /// The replicas hear nothing of the master from now on, until another one is promoted: they are asked to
    /// log in again with a wrong password.
    pub fn cut_replication(&self) {
        let master = self.master();
        for replica in self.servers.iter().filter(|server| server.port() != master.port()) {
            assert_eq!(replica.cli(&["CONFIG", "SET", "masterauth", "wrong"]), "OK");
        }
        let _ = master.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    }

    /// Waits until all servers run and follow one master.
    pub fn wait_until_whole(&self) {
        for server in &self.servers {
            assert_eq!(server.cli(&["CONFIG", "SET", "masterauth", RedisServer::PASSWORD_OF_ALL]), "OK");
        }
        wait_until("the replicas follow the new master", || {
            self.master().cli(&["INFO", "replication"]).matches("state=online").count() == REPLICAS
        });
    }

    /// Ends one sentinel, and with it its connections.
    pub fn kill_sentinel(&mut self, index: usize) {
        self.sentinels[index].kill();
    }

    /// As all sentinels see it; `None` while they do not agree.
    fn port_of_master(&self) -> Option<u16> {
        let mut ports = self.sentinels.iter().filter_map(|sentinel| {
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
            let Some(Reply::Array(parts)) = self.ask(sentinel, &question) else { return None };
            parts.get(1)?.to_string().parse().ok()
        });
        let first = ports.next()?;
        ports.all(|port| port == first).then_some(first)
    }

    fn knows_all(&self, sentinel: &Sentinel) -> bool {
        let Some(Reply::Array(parts)) = self.ask(sentinel, &["SENTINEL", "MASTER", Self::MASTER]) else { return false };
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let number = |name: &str| {
            let at = parts.iter().position(|part| part == name)?;
            parts.get(at + 1)?.parse::<usize>().ok()
        };
        number("num-slaves") == Some(REPLICAS) && number("num-other-sentinels") == Some(SENTINELS - 1)
    }

    fn ask(&self, sentinel: &Sentinel, command: &[&str]) -> Option<Reply> {
        Client::authenticated(sentinel.port, &self.password, Duration::from_secs(1)).ok()?.command(command).ok()
    }
}

impl Sentinel {
    fn start(master: u16, password: &str, tls: Option<&ServerTls>) -> Self {
        let dir = tempfile::Builder::new().prefix("cache-sentinel-").tempdir().expect("a temporary directory");
        for _ in 0..20 {
            let (port, tls_port) = (free_port(), tls.map(|_| free_port()));
            let listens = Listens { port, tls: tls.zip(tls_port) };
            if let Ok(child) = Self::launch(&dir, &listens, master, password) {
                let mut this = Self { child, port, tls_port, _dir: dir };
                if this.comes_up(password) {
                    return this;
                }
                return Self::start(master, password, tls);
            }
        }
        panic!("no sentinel started on any of 20 free ports");
    }

    fn launch(dir: &TempDir, listens: &Listens<'_>, master: u16, password: &str) -> io::Result<Child> {
        let path = dir.path().join("sentinel.conf");
        let name = Sentinels::MASTER;
        let mut file = fs::File::create(&path)?;
        writeln!(file, "port {}\nbind 127.0.0.1\ndir {}", listens.port, dir.path().display())?;
        writeln!(file, "requirepass {password}\nsentinel sentinel-pass {password}")?;
        writeln!(file, "sentinel monitor {name} 127.0.0.1 {master} 2")?;
        writeln!(file, "sentinel auth-pass {name} {}", RedisServer::PASSWORD_OF_ALL)?;
        writeln!(file, "sentinel down-after-milliseconds {name} 500")?;
        writeln!(file, "sentinel failover-timeout {name} 3000\nsentinel parallel-syncs {name} 2")?;
        let mut command = spawn::redis_server();
        if let Some((tls, port)) = listens.tls {
            for (name, value) in tls.lines(port) {
                writeln!(file, "{name} {value}")?;
            }
            // To the servers and to the other sentinels.
            writeln!(file, "tls-replication yes")?;
            command = spawn::redis_tls_server();
        }
        command.arg(&path).arg("--sentinel");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        spawn::spawn(command)
    }

    fn comes_up(&mut self, password: &str) -> bool {
        let until = Instant::now() + WITHIN;
        while Instant::now() < until {
            let answer = Client::authenticated(self.port, password, Duration::from_secs(1))
                .and_then(|mut client| client.command(&["PING"]));
            if answer.is_ok() {
                return true;
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinels").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < until, "in vain waited for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
