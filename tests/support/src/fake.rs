//! A server that lets clients log in and then answers as it is told: for states in which a real server is
//! hard to catch, such as loading its snapshot.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

/// A scripted server on a free port of this machine. Dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeServer {
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Debug)]
struct State {
    script: Mutex<Script>,
}

/// What is answered to a command, given with its arguments.
type Answer = dyn FnMut(&[String]) -> String + Send;

struct Script {
    answer: Box<Answer>,
    commands: u64,
    accepted: u64,
    closed: bool,
    open: Vec<TcpStream>,
}

impl FakeServer {
    /// Answers every command but those of the handshake with this line, such as
    /// `-LOADING Redis is loading the dataset in memory`.
    #[must_use]
    pub fn answering(line: &str) -> Self {
        let answer = format!("{line}\r\n");
        Self::answering_by(move |_| answer.clone())
    }

    /// Answers every command but those of the handshake with what this makes of the command and its arguments,
    /// line ends included. One command at a time is answered.
    #[must_use]
    pub fn answering_by(answer: impl FnMut(&[String]) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let script = Script { answer: Box::new(answer), commands: 0, accepted: 0, closed: false, open: Vec::new() };
        let state = Arc::new(State { script: Mutex::new(script) });
        let weak = Arc::downgrade(&state);
        thread::spawn(move || accept(&listener, &weak));
        Self { state, address }
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many commands it was sent, those of handshakes not counted.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.state.script().commands
    }

    /// How many connections were made.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.script().accepted
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("commands", &self.commands).finish_non_exhaustive()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        let open = {
            let mut script = self.state.script();
            script.closed = true;
            std::mem::take(&mut script.open)
        };
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        // Wakes the listener, so that its thread sees that nobody is there any more.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_to(&self, command: &[String]) -> String {
        let name = command.first().map(String::as_str).unwrap_or_default();
        if matches!(name, "HELLO" | "AUTH" | "SELECT" | "CLIENT") {
            return "+OK\r\n".to_owned();
        }
        let mut script = self.script();
        script.commands += 1;
        (script.answer)(command)
    }
}

fn accept(listener: &TcpListener, state: &Weak<State>) {
    for client in listener.incoming() {
        let (Some(state), Ok(client)) = (state.upgrade(), client) else { return };
        let Ok(other_end) = client.try_clone() else { continue };
        {
            let mut script = state.script();
            if script.closed {
                return;
            }
            script.accepted += 1;
            script.open.push(other_end);
        }
        thread::spawn(move || drop(serve(&state, client)));
    }
}

/// Until the client goes.
fn serve(state: &State, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut writer = client.try_clone()?;
    let mut reader = BufReader::new(client);
    loop {
        let command = read_command(&mut reader)?;
        writer.write_all(state.answer_to(&command).as_bytes())?;
    }
}

/// The next command, its name in capitals: `*2\r\n$4\r\nAUTH\r\n…`.
fn read_command(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut command = Vec::new();
    for _ in 0..number_after(reader, "*")? {
        let mut bytes = vec![0; number_after(reader, "$")? + 2];
        reader.read_exact(&mut bytes)?;
        command.push(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned());
    }
    if let Some(name) = command.first_mut() {
        name.make_ascii_uppercase();
    }
    Ok(command)
}

fn number_after(reader: &mut impl BufRead, kind: &str) -> io::Result<usize> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let number = line.trim_end().strip_prefix(kind).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
