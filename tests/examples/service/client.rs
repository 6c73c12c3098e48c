//! The service as a running program, and what is asked of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{Example, PATIENCE};

/// The service, running. Dropping it ends it.
pub(super) struct Service {
    child: Child,
    said: BufReader<ChildStdout>,
    address: String,
    _example: Example,
}

impl Service {
    pub(super) fn start(environment: &[(&str, String)]) -> Self {
        let mut example = Example::new("service", environment);
        example.command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = example.command.spawn().expect("the example runs");
        let mut said = BufReader::new(child.stdout.take().expect("its output is piped"));
        let address = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).expect("its output is text") > 0, "it ended instead of listening");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        Self { child, said, address, _example: example }
    }

    /// Stops it as ctrl-c does; it says goodbye and ends well.
    pub(super) fn stop(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        let mut last = String::new();
        self.said.read_to_string(&mut last).expect("its output is text");
        assert_eq!(last.trim(), "bye");
        assert!(self.child.wait().expect("it was started here").success());
    }

    /// How often something was really done.
    pub(super) fn work(&self, what: &str) -> u64 {
        self.get("/work")[what].as_u64().expect("a number")
    }

    /// A `GET` that finds something or says that it is still being made.
    pub(super) fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None);
        assert!(status == 200 || status == 202, "GET {path}: {status} {body}");
        body
    }

    pub(super) fn call(&self, method: &str, path: &str, body: Option<&Value>, expected: u16) -> Value {
        self.send(method, path, body.map(Value::to_string).as_deref(), expected)
    }

    pub(super) fn send(&self, method: &str, path: &str, body: Option<&str>, expected: u16) -> Value {
        let (status, answer) = self.request(method, path, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        answer
    }

    /// One request on a connection of its own; the status, and the body if it is JSON.
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("the service listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let body = body.unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let kind = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{kind}{body}").as_bytes()).expect("the service reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the service answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
