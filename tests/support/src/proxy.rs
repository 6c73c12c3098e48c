//! A TCP proxy that can cut, delay and swallow what passes through it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Replies,
}

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// They pass.
    Flow,
    /// They pass this much later.
    Delay(Duration),
    /// They pass up to this much later, each chunk by a random time, so that what goes over one
    /// connection overtakes what goes over another.
    Jitter(Duration),
    /// They wait until something else is asked for, then pass.
    Hold,
    /// They vanish while the connection looks alive, as on a half-open link.
    Swallow,
    /// Of so many chunks, of all connections together, one is lost, and its connection with it.
    CutEvery(u32),
}

/// A proxy in front of a server on this machine. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Debug)]
struct State {
    rules: Mutex<Rules>,
    changed: Condvar,
}

#[derive(Debug)]
struct Rules {
    requests: Traffic,
    replies: Traffic,
    refuse: bool,
    closed: bool,
    accepted: u64,
    port: u16,
    held: Option<Vec<u8>>,
    /// Chunks that have passed or were lost.
    chunks: u32,
    /// Requests that came after an answer, or as the first ones.
    trips: u64,
    answered: bool,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// Begins to listen on a free port and forwards to `port` on this machine.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            rules: Mutex::new(Rules {
                requests: Traffic::Flow,
                replies: Traffic::Flow,
                refuse: false,
                closed: false,
                accepted: 0,
                port,
                held: None,
                chunks: 0,
                trips: 0,
                answered: true,
                open: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let weak = Arc::downgrade(&state);
        thread::spawn(move || accept(&listener, &weak));
        Self { state, address }
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.rules().accepted
    }

    /// Round trips so far, of a client that uses one connection: how often it has sent something
    /// after an answer.
    #[must_use]
    pub fn trips(&self) -> u64 {
        self.state.rules().trips
    }

    /// Rules for one direction, from the next chunk of bytes on, on present and future connections.
    pub fn set(&self, direction: Direction, traffic: Traffic) {
        let mut rules = self.state.rules();
        match direction {
            Direction::Requests => rules.requests = traffic,
            Direction::Replies => rules.replies = traffic,
        }
        drop(rules);
        self.state.changed.notify_all();
    }

    /// Both directions let everything pass, and connections are accepted.
    pub fn heal(&self) {
        self.set(Direction::Requests, Traffic::Flow);
        self.set(Direction::Replies, Traffic::Flow);
        self.refuse(false);
    }

    /// Connections from now on lead to another port on this machine; open ones stay.
    pub fn lead_to(&self, port: u16) {
        self.state.rules().port = port;
    }

    /// From now on bytes to a client wait if `text` is among them, and with them the rest of
    /// their connection; other connections go on. `None` lets them pass.
    pub fn hold_replies_with(&self, text: Option<&str>) {
        self.state.rules().held = text.map(|text| text.as_bytes().to_vec());
        self.state.changed.notify_all();
    }

    /// Each answer takes this much longer.
    pub fn delay(&self, by: Duration) {
        self.set(Direction::Replies, Traffic::Delay(by));
    }

    /// Everything vanishes in both directions while connections look alive.
    pub fn blackhole(&self) {
        self.set(Direction::Requests, Traffic::Swallow);
        self.set(Direction::Replies, Traffic::Swallow);
    }

    /// Cuts every open connection; new ones are still accepted.
    pub fn cut(&self) {
        for stream in self.state.rules().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.state.changed.notify_all();
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse(&self, refuse: bool) {
        self.state.rules().refuse = refuse;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.rules().closed = true;
        self.cut();
        // Wakes the listener, so that its thread sees that nobody is there any more.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do with the next bytes; waits while they are held.
    fn verdict(&self, direction: Direction) -> Traffic {
        let mut rules = self.rules();
        loop {
            let traffic = match direction {
                Direction::Requests => rules.requests,
                Direction::Replies => rules.replies,
            };
            if traffic != Traffic::Hold || rules.closed {
                return traffic;
            }
            rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn next_chunk(&self) -> u32 {
        let mut rules = self.rules();
        rules.chunks = rules.chunks.wrapping_add(1);
        rules.chunks
    }

    fn count_trip(&self, direction: Direction) {
        let mut rules = self.rules();
        let begins = direction == Direction::Requests && rules.answered;
        rules.trips += u64::from(begins);
        rules.answered = direction == Direction::Replies;
    }

    /// Waits while these bytes are held.
    fn wait_for_release(&self, bytes: &[u8]) {
        let mut rules = self.rules();
        while rules.held.as_ref().is_some_and(|text| bytes.windows(text.len()).any(|part| part == text))
            && !rules.closed
        {
            rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn accept(listener: &TcpListener, state: &Weak<State>) {
    for client in listener.incoming() {
        let Some(state) = state.upgrade() else { return };
        if state.rules().closed {
            return;
        }
        // A client that is refused, or that finds no server, sees its connection closed.
        if let Ok(client) = client {
            let _ = connect(&state, client);
        }
    }
}

fn connect(state: &Arc<State>, client: TcpStream) -> io::Result<()> {
    state.rules().accepted += 1;
    if state.rules().refuse {
        return client.shutdown(Shutdown::Both);
    }
    let port = state.rules().port;
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    state.rules().open.extend([client.try_clone()?, server.try_clone()?]);
    pump(state, client.try_clone()?, server.try_clone()?, Direction::Requests);
    pump(state, server, client, Direction::Replies);
    Ok(())
}

fn pump(state: &Arc<State>, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
    let state = Arc::clone(state);
    thread::spawn(move || {
        let _ = forward(&state, &mut from, &mut to, direction);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn forward(state: &State, from: &mut TcpStream, to: &mut TcpStream, direction: Direction) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let len = from.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        state.count_trip(direction);
        match state.verdict(direction) {
            Traffic::Swallow => continue,
            Traffic::Delay(by) => thread::sleep(by),
            Traffic::Jitter(most) => thread::sleep(most.mul_f64(random_share())),
            Traffic::CutEvery(chunks) if state.next_chunk().is_multiple_of(chunks) => return Ok(()),
            Traffic::Flow | Traffic::Hold | Traffic::CutEvery(_) => {}
        }
        if direction == Direction::Replies {
            state.wait_for_release(&bytes[..len]);
        }
        to.write_all(&bytes[..len])?;
    }
}

/// Between 0 and 1.
fn random_share() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    f64::from(RandomState::new().hash_one(0u8) as u32) / f64::from(u32::MAX)
}
