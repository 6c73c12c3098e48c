//! Near entries and what is heard of others' changes: one reader, one entry, changes by key and
//! by tag, and a connection that is lost and restored.

use std::sync::Arc;

use shuttle::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use crate::{
    coherence::{Coherence, Followed},
    epoch::{Epoch, Epochs, Slot},
    store::Namespace,
};

const SPACE: &str = "app";
const TAG: &str = "t";

/// Which rule is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Nothing,
    /// What was heard is noted when the answer is kept, not before the store is asked.
    NoteFirst,
    /// The tag's own counter advances, and not the one that every tag of the namespace advances.
    AnyTag,
    /// A hit does not compare generations.
    Generation,
    /// A loss ends no generation.
    Loss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Key,
    /// Of a tag that is known only from the answer.
    Tag,
}

struct World {
    without: Without,
    coherence: Coherence,
    space: Arc<Followed>,
    store: AtomicU64,
    /// What was told to this process.
    told: AtomicU64,
    near: Mutex<Option<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    version: u64,
    epoch: Epoch,
    generation: u64,
}

fn own() -> [Slot; 2] {
    [Epochs::key("app:k"), Epochs::namespace(SPACE)]
}

impl World {
    fn new(without: Without) -> Arc<Self> {
        let coherence = Coherence::new();
        let space = coherence.follow(&Namespace(SPACE));
        coherence.restore(&[Arc::clone(&space)]);
        let (store, told) = (AtomicU64::new(1), AtomicU64::new(1));
        Arc::new(Self { without, coherence, space, store, told, near: Mutex::new(None) })
    }

    /// The store is asked, and the answer kept near.
    fn read(&self) {
        let note = || self.coherence.note(&self.space, own(), Epochs::any_tag(SPACE), None);
        let early = note();
        let version = self.store.load(SeqCst);
        let noted = if self.without == Without::NoteFirst { note() } else { early };
        let Some(heard) = noted else { return };
        let tag = [Epochs::tag(SPACE, TAG)];
        let Some(epoch) = heard.with_tags(&self.coherence, &tag, Epochs::any_tag(SPACE)) else { return };
        *self.near.lock().unwrap() = Some(Entry { version, epoch, generation: heard.generation() });
    }

    /// A hit, if there is one, is not older than what was told before it.
    fn hit(&self) {
        let told = self.told.load(SeqCst);
        let Some(entry) = *self.near.lock().unwrap() else { return };
        let slots = own().into_iter().chain([Epochs::tag(SPACE, TAG)]);
        let in_generation = entry.generation == self.coherence.generation() || self.without == Without::Generation;
        if in_generation && entry.epoch == self.coherence.epoch_of(slots) {
            assert!(entry.version >= told, "version {} was served, and {told} was told before", entry.version);
        }
    }

    /// Another process changes the store, and this one is told.
    fn change(&self, change: Change) {
        let version = self.store.fetch_add(1, SeqCst) + 1;
        match change {
            Change::Key => self.coherence.key_changed("app:k"),
            Change::Tag if self.without == Without::AnyTag => self.coherence.tag_changed("elsewhere", TAG),
            Change::Tag => self.coherence.tag_changed(SPACE, TAG),
        }
        self.told.fetch_max(version, SeqCst);
    }

    /// The connection is lost, a change is not told, and changes are heard again.
    fn lose_one(&self) {
        let ends = self.without != Without::Loss;
        if ends {
            self.coherence.lost(self.coherence.generation());
        }
        let version = self.store.fetch_add(1, SeqCst) + 1;
        if ends {
            self.coherence.restore(&[Arc::clone(&self.space)]);
        }
        self.told.fetch_max(version, SeqCst);
    }
}

fn race(without: Without, other: impl FnOnce(&World) + Send + 'static) {
    let world = World::new(without);
    let (reading, changing) = (Arc::clone(&world), Arc::clone(&world));
    let reader = thread::spawn(move || {
        for _ in 0..2 {
            reading.read();
            reading.hit();
        }
    });
    let other = thread::spawn(move || other(&changing));
    world.hit();
    reader.join().expect("no stale hit");
    other.join().expect("no fault");
    world.hit();
}

/// What was told is not undone by an answer that was on its way.
pub fn reads_among_changes(without: Without, changes: [Change; 2]) {
    race(without, move |world| changes.into_iter().for_each(|change| world.change(change)));
}

/// What happens while nothing is heard is not missed once changes are heard again.
pub fn reads_across_a_loss(without: Without) {
    race(without, World::lose_one);
}
