use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    codec::Coding,
    store::{Decoded, Format, Life, Namespace, Payload, Token},
};

const CAPACITY: u64 = 1 << 20;

fn shard() -> Shard {
    Shard::new(CAPACITY, 100, Some(&Departures::default()))
}

fn head() -> Head {
    let life = Life { since: 0, fresh_until: 10, dead_at: 10 };
    Head { token: Token(1), incarnation: Token(1), born: 0, life, tags: Vec::new(), shape: 0, format: Format::JSON }
}

fn encoded(len: usize) -> Entry {
    Entry { head: head(), payload: Payload::new(vec![b'7'; len]), decoded: None }
}

fn key<'a>(space: &'a Namespace, key: &'a str, hash: u64) -> KeyRef<'a> {
    KeyRef { hash, space, key }
}

/// Notes that it was dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_value_that_is_evicted_while_it_is_looked_at_is_dropped_after_the_lock() {
    let (space, looks) = (Namespace::new("drop"), 2);
    for look in 0..looks {
        let (shard, dropped) = (shard(), Arc::new(AtomicBool::new(false)));
        let value = Arc::new(Noted(Arc::clone(&dropped)));
        let decoded = Decoded::new::<Noted>(value, 1, &Coding::default(), |_, _| Err("not asked for".to_owned()));
        let key = key(&space, "key", 1);
        let entry = Entry { head: head(), payload: Payload::default(), decoded: Some(decoded) };
        shard.lock().insert(key.to_owned(), entry);

        let mut writing = shard.lock();
        match look {
            0 => drop(writing.get(key)),
            _ => drop(writing.keys_where(|_, _| false)),
        }
        // As another thread's `share_budget`, which takes no lock.
        shard.decoded.as_ref().unwrap().resize(0);
        assert!(shard.get_decoded(key).is_none());
        assert!(!dropped.load(Ordering::SeqCst), "look {look}: under the lock");
        drop(writing);
        assert!(dropped.load(Ordering::SeqCst), "look {look}");
    }
}

#[test]
fn writes_that_come_and_go_leave_the_shares_as_they_are() {
    let (shard, space) = (shard(), Namespace::new("shares"));
    let capacity = || shard.decoded.as_ref().unwrap().capacity();
    let write = |n: u64| {
        let name = (n % 100).to_string();
        let key = key(&space, &name, n % 100);
        match n % 3 {
            0 if n > 100 => shard.lock().remove(key),
            _ => shard.lock().insert(key.to_owned(), encoded(500 + (n * 37 % 500) as usize)),
        }
    };
    (0..400).for_each(write);
    let before = capacity();
    assert!(before < CAPACITY);
    for n in 400..10_000 {
        write(n);
        assert_eq!(capacity(), before, "write {n}");
    }
    // When hardly anything is left, its room is given back.
    (0..100).for_each(|n: u64| shard.lock().remove(key(&space, &n.to_string(), n)));
    assert_eq!(capacity(), CAPACITY);
}
