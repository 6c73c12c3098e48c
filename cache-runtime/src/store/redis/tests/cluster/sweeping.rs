//! Scans of a cluster whose names move meanwhile, on nodes that are told what to say: so each step comes where
//! it is wanted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use cache_test_support::FakeServer;

use super::*;
use crate::config::Address;

const NAME: &str = "app:key";

/// Two masters, each with half of the slots, and one name.
struct Told {
    state: Arc<Mutex<State>>,
    nodes: [FakeServer; 2],
}

#[derive(Default)]
struct State {
    ports: Vec<u16>,
    now: Moment,
    /// What comes to be after each of the next scans of values.
    next: VecDeque<Moment>,
    /// As long as nobody has asked the first node what it has itself, the layout lacks the second one; or for ever.
    lacks_second: Option<Until>,
}

#[derive(PartialEq)]
enum Until {
    AskedForClaims,
    Never,
}

#[derive(Default, Clone, Copy, PartialEq, Debug)]
struct Moment {
    /// Which node has the name.
    at: Option<usize>,
    /// Whether a slot is on its way.
    moving: bool,
}

const fn moment(at: usize, moving: bool) -> Moment {
    Moment { at: Some(at), moving }
}

impl Told {
    fn new(now: Moment, next: &[Moment]) -> Self {
        let state = State { now, next: next.iter().copied().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let nodes = [0, 1].map(|node| {
            let state = Arc::clone(&state);
            FakeServer::answering_by(move |command| state.lock().unwrap().answer(node, command))
        });
        state.lock().unwrap().ports = nodes.iter().map(FakeServer::port).collect();
        Self { state, nodes }
    }

    fn hiding_the_second(self, until: Until) -> Self {
        self.state.lock().unwrap().lacks_second = Some(until);
        self
    }

    async fn invalidate_pattern(&self) -> crate::Result<u64> {
        let config = RedisConfig {
            cluster: vec![Address::new("127.0.0.1", self.nodes[0].port())],
            operation_timeout: Duration::from_secs(5),
            // It is scripts that the nodes would have to run.
            restart_guard: false,
            ..RedisConfig::default()
        };
        let store = RedisStore::connect(&config, Clock::manual()).await.unwrap();
        store.invalidate_pattern(&Namespace::new("app"), "k*").await
    }

    fn is_somewhere(&self) -> bool {
        self.state.lock().unwrap().now.at.is_some()
    }
}

impl State {
    fn answer(&mut self, node: usize, command: &[String]) -> String {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        match command[..] {
            ["INFO", ..] => bulk(&format!("run_id:{node}\r\nmaster_replid:{node}\r\n")),
            ["CLUSTER", "SLOTS"] => self.layout(),
            ["CLUSTER", "NODES"] => self.claims(node),
            ["SCAN", _, "MATCH", pattern, ..] => self.scan(node, pattern),
            ["ASKING"] => "+OK\r\n".to_owned(),
            ["UNLINK", NAME] if self.now.at == Some(node) => {
                self.now.at = None;
                ":1\r\n".to_owned()
            }
            ["UNLINK", _] => ":0\r\n".to_owned(),
            _ => format!("-ERR {command:?} was not expected\r\n"),
        }
    }

    fn layout(&self) -> String {
        let range = |node: usize| {
            let (first, last) = slots(node);
            let id = bulk(&node.to_string());
            format!("*3\r\n:{first}\r\n:{last}\r\n*3\r\n{}:{}\r\n{id}", bulk("127.0.0.1"), self.ports[node])
        };
        match self.lacks_second {
            Some(_) => format!("*1\r\n{}", range(0)),
            None => format!("*2\r\n{}{}", range(0), range(1)),
        }
    }

    fn claims(&mut self, node: usize) -> String {
        if self.lacks_second == Some(Until::AskedForClaims) {
            self.lacks_second = None;
        }
        let (first, last) = slots(node);
        let moving = if self.now.moving { " [1->-another]" } else { "" };
        bulk(&format!("{node} 127.0.0.1:1@2 myself,master - 0 0 1 connected {first}-{last}{moving}\n"))
    }

    fn scan(&mut self, node: usize, pattern: &str) -> String {
        let is_of_values = !pattern.starts_with("lease:");
        let found = match is_of_values && self.now.at == Some(node) {
            true => format!("*1\r\n{}", bulk(NAME)),
            false => "*0\r\n".to_owned(),
        };
        // What was removed goes nowhere.
        if is_of_values && let Some(next) = self.next.pop_front() {
            self.now = Moment { at: self.now.at.and(next.at), ..next };
        }
        format!("*2\r\n$1\r\n0\r\n{found}")
    }
}

fn slots(node: usize) -> (u16, u16) {
    if node == 0 { (0, 8191) } else { (8192, 16_383) }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// 1. The first node is scanned. 2. A name goes there from the second one. 3. The second node is scanned.
#[tokio::test]
async fn a_name_that_is_always_where_the_scan_is_not_is_removed() {
    let whole_way = (moment(1, true), [moment(0, true), moment(0, true)]);
    let begun_meanwhile = (moment(1, false), [moment(0, true), moment(0, true)]);
    let given_up_meanwhile = (moment(1, true), [moment(0, true), moment(1, false)]);
    for (now, next) in [whole_way, begun_meanwhile, given_up_meanwhile] {
        let told = Told::new(now, &next);
        assert_eq!(told.invalidate_pattern().await.unwrap(), 1, "{now:?}, then {next:?}");
        assert!(!told.is_somewhere());
    }
}

/// 1. The layout is read. 2. A master that is not in it gets slots. 3. A pattern is invalidated.
#[tokio::test]
async fn a_scan_finds_out_that_it_does_not_know_all_masters() {
    let told = Told::new(moment(1, false), &[]).hiding_the_second(Until::AskedForClaims);
    assert_eq!(told.invalidate_pattern().await.unwrap(), 1);
    assert!(!told.is_somewhere());
}

#[tokio::test]
async fn a_scan_that_does_not_find_all_masters_is_not_acknowledged() {
    let told = Told::new(moment(1, false), &[]).hiding_the_second(Until::Never);
    told.invalidate_pattern().await.unwrap_err();
}
