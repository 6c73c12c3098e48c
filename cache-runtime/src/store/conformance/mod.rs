//! What every backend must do, as one suite that runs against each.
//!
//! A backend writes `async fn fixture() -> Fixture` and then `conformance::tests!(fixture);`
//! in a test module: each rule becomes a test of its own.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    codec::{Coding, Encoded, Packed, coding::Codec},
    store::*,
};

mod counting;
mod filling;
mod leasing;
mod patterns;
mod racing;
mod seizing;
mod tagging;

pub(crate) use counting::*;
pub(crate) use filling::*;
pub(crate) use leasing::*;
pub(crate) use patterns::*;
pub(crate) use racing::*;
pub(crate) use seizing::*;
pub(crate) use tagging::*;

/// One test for each rule.
macro_rules! tests {
    ($fixture:path) => {
        $crate::store::conformance::tests! { @each $fixture:
            // filling
            a_key_that_was_never_filled_reads_as_nothing
            a_fill_reads_back_as_it_was_written
            a_cached_absence_reads_back
            a_large_value_reads_back
            bytes_of_any_format_read_back
            a_read_answers_in_the_order_of_its_keys
            a_read_of_no_keys_still_tells_the_stamp
            keys_and_tags_may_hold_any_character
            a_fill_replaces_the_entry_before_it
            a_fill_without_a_lease_is_rejected
            a_token_fills_once
            a_token_fills_no_other_key
            many_fills_are_answered_one_by_one
            a_release_stores_nothing_and_frees_the_key
            a_release_leaves_the_entry_that_is_there
            a_stale_entry_is_read_and_a_dead_one_is_not
            a_stale_entry_is_as_valid_as_its_stamps
            an_expiry_replaces_the_deadlines
            an_expiry_needs_a_valid_entry
            an_expiry_may_be_of_one_entry_and_no_other
            invalidated_keys_are_gone_and_counted
            namespaces_do_not_see_each_other
            // leasing
            one_lease_at_a_time
            a_lease_is_refused_when_the_entry_has_changed
            an_invalidated_key_rejects_the_fill_of_an_older_load
            an_invalidated_key_can_be_leased_at_once
            a_lease_runs_out
            a_renewed_lease_lives_on
            a_renewal_never_makes_a_lease
            a_lease_of_an_incarnation_that_ended_holds_nobody
            a_lease_from_before_a_tag_was_invalidated_holds_nobody
            an_unrelated_tag_leaves_a_lease_in_force
            // seizing
            a_seizure_takes_the_key_from_its_holder
            a_seizure_tells_what_is_in_force_and_what_is_stored
            loads_wait_for_a_seized_lease_until_it_ends
            whatever_is_invalidated_after_a_seizure_keeps_its_value_out
            a_seizure_over_nothing_leaves_what_is_stored_and_its_lease
            what_is_invalid_is_seized_by_its_token_and_nothing_else_is
            // tagging
            an_invalidated_tag_hides_its_entries_and_no_others
            any_one_of_several_tags_hides_an_entry
            several_tags_are_invalidated_at_once
            a_load_from_before_a_tags_invalidation_is_overtaken
            a_load_from_after_a_tags_invalidation_is_current
            a_tag_that_only_the_value_knows_counts
            a_tag_invalidated_before_it_was_ever_read_counts
            a_release_from_before_a_tags_invalidation_is_overtaken
            a_stamp_is_never_born_before_its_floor
            a_tag_belongs_to_its_namespace
            a_clear_hides_everything_in_its_namespace_only
            a_load_from_before_a_clear_is_overtaken
            tags_work_after_a_clear
            // patterns
            patterns_match_as_redis_matches
            a_pattern_rejects_the_fills_of_older_loads
            a_pattern_stays_in_its_namespace
            a_pattern_reaches_many_keys
            // counting
            an_increment_begins_at_its_step
            an_increment_keeps_deadlines_and_tags
            increments_go_down_too
            an_increment_refuses_what_is_not_a_whole_number
            an_increment_is_exact_up_to_the_limits
            an_increment_counts_invalid_entries_as_absent
            an_increment_counts_dead_entries_as_absent
            an_increment_takes_the_lease_away
            concurrent_increments_add_up
            // racing
            no_value_from_before_an_invalidation_comes_back
        }
    };
    (@each $fixture:path: $($rule:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            $crate::store::conformance::$rule($fixture().await).await;
        }
    )+};
}
pub(crate) use tests;

/// One backend to be tested, and the namespaces that the test has for itself.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// Names that no other test uses.
    pub(crate) space: Namespace,
    pub(crate) other: Namespace,
    /// Whether leases run out by real time, not by the clock.
    real_time: bool,
    /// What must live as long as the test, such as a server.
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

/// Life of leases that no test outlives.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Life of leases that a test outlives.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

impl Fixture {
    /// `clock` is the store's own, a manual one.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = u64::from_ne_bytes(random);
        Self {
            store,
            clock,
            space: Namespace::new(&format!("test{name:x}")),
            other: Namespace::new(&format!("test{name:x}/other")),
            real_time: false,
            _guard: None,
        }
    }

    /// The backend's leases run out by real time.
    #[allow(dead_code, reason = "for backends with a server")]
    pub(crate) fn with_real_time(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Keeps `guard` as long as the test runs.
    #[allow(dead_code, reason = "for backends with a server")]
    pub(crate) fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self._guard = Some(Box::new(guard));
        self
    }

    /// Lets time pass, for deadlines and leases alike.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        if self.real_time {
            tokio::time::sleep(time).await;
        }
    }

    pub(crate) async fn read(&self, keys: &[&str], known: &[&str]) -> Reading {
        self.store.read(&self.space, keys, &tags(known)).await.unwrap()
    }

    pub(crate) async fn find(&self, key: &str) -> Found {
        self.read(&[key], &[]).await.found.remove(0)
    }

    pub(crate) async fn stamp(&self, known: &[&str]) -> Stamp {
        self.read(&[], known).await.stamp
    }

    /// The stored text, as a reader that knows no tags gets it.
    pub(crate) async fn text(&self, key: &str) -> Option<String> {
        self.find(key).await.entry.map(|entry| text_of(&entry))
    }

    /// Asks for a lease as a load does: read, then lease what was seen.
    pub(crate) async fn try_begin<'a>(&self, key: &'a str, known: &[&str], ttl: Duration) -> Result<Load<'a>, Lease> {
        let reading = self.read(&[key], known).await;
        let (seen, stamp) = (reading.found[0].seen, reading.stamp);
        let request = LeaseRequest { key, ttl, seen, stamp };
        match self.store.lease(&self.space, request).await.unwrap() {
            Lease::Granted(token) => Ok(Load { key, token, stamp }),
            refused => Err(refused),
        }
    }

    /// Begins a load that nothing hinders.
    pub(crate) async fn begin<'a>(&self, key: &'a str, known: &[&str]) -> Load<'a> {
        self.try_begin(key, known, LONG).await.unwrap()
    }

    pub(crate) async fn fill(&self, fill: Fill<'_>) -> Filled {
        self.store.fill(&self.space, fill).await.unwrap()
    }

    /// A whole write: read, lease, fill.
    pub(crate) async fn put(&self, key: &str, text: &str, with: &[&str]) {
        let load = self.begin(key, with).await;
        assert_eq!(self.fill(load.fills(self.value(text, with))).await, Filled::Current, "{key}");
    }

    /// A value that is fresh for a minute and dead after two.
    pub(crate) fn value(&self, text: &str, with: &[&str]) -> Value {
        let now = self.clock.now();
        Value {
            life: Life { since: now, fresh_until: now + 60_000, dead_at: now + 120_000 },
            keep: Duration::from_secs(120),
            tags: tags(with),
            shape: 7,
            format: Format::JSON,
            payload: if self.store.keeps_decoded() { Payload::default() } else { payload(text) },
            decoded: self.store.keeps_decoded().then(|| as_it_is(text)),
        }
    }

    pub(crate) async fn invalidate(&self, keys: &[&str]) -> u64 {
        self.store.invalidate_keys(&self.space, keys).await.unwrap()
    }

    pub(crate) async fn invalidate_tags(&self, names: &[&str]) {
        self.store.invalidate_tags(&self.space, &tags(names)).await.unwrap();
    }

    pub(crate) async fn invalidate_pattern(&self, pattern: &str) -> u64 {
        self.store.invalidate_pattern(&self.space, pattern).await.unwrap()
    }

    pub(crate) async fn clear(&self) {
        self.store.clear(&self.space).await.unwrap();
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A load that is running.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) key: &'a str,
    pub(crate) token: Token,
    pub(crate) stamp: Stamp,
}

impl<'a> Load<'a> {
    pub(crate) fn fills(&self, value: Value) -> Fill<'a> {
        Fill { key: self.key, token: self.token, stamp: self.stamp, value: Some(value) }
    }

    pub(crate) fn releases(&self) -> Fill<'a> {
        Fill { key: self.key, token: self.token, stamp: self.stamp, value: None }
    }
}

pub(crate) fn tags(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload::new(text.as_bytes())
}

/// A value of a type that is written as this text.
pub(crate) fn as_it_is(text: &str) -> Decoded {
    let encode = |packed: &Packed, _: Codec| {
        let text = packed.downcast_ref::<String>().ok_or("another type")?;
        Ok(Encoded { content: Content::Json, bytes: payload(text) })
    };
    Decoded::new::<()>(Arc::new(text.to_owned()), text.len(), &Coding::default(), encode)
}

pub(crate) fn text_of(entry: &Entry) -> String {
    let payload = match &entry.decoded {
        Some(decoded) => decoded.encode().unwrap().1,
        None => entry.payload.clone(),
    };
    String::from_utf8(payload.to_vec()).unwrap()
}
