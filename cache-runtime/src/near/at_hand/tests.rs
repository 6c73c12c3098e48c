use super::*;
use crate::{
    epoch::{Epoch, Epochs},
    key,
    near::NearView,
    store::Life,
};

const LIFE: Life = Life { since: 0, fresh_until: 10, dead_at: 10 };

fn entry(bytes: u64) -> Arc<NearEntry> {
    let own = [Epochs::key("app:k"), Epochs::namespace("app")];
    let view = NearView { epoch: Epoch::default(), generation: None, own, tags: [].into(), home: None };
    Arc::new(NearEntry::new("app:k".into(), None, LIFE, view, bytes))
}

fn call(function: usize, id: u64) -> AtHandCall {
    let args = key::raw(&|key: &mut key::KeyWriter| key.arg(&id)).unwrap();
    AtHandCall::new(function, 1, args).unwrap()
}

/// Whether it would be served, and whether the entry was looked at.
fn look(at_hand: &AtHand, call: &AtHandCall, news: u64, now: Millis) -> (bool, bool) {
    look_for(true, at_hand, call, news, now)
}

fn look_for(is_held: bool, at_hand: &AtHand, call: &AtHandCall, news: u64, now: Millis) -> (bool, bool) {
    let looked = Cell::new(false);
    let is_current = |_: &NearEntry| {
        looked.set(true);
        is_held
    };
    (at_hand.find(call, News(news), now, is_current, |_| Some(())).is_some(), looked.get())
}

#[test]
fn the_entry_is_looked_at_when_there_are_news() {
    let (at_hand, call) = (AtHand::new(1 << 20), call(1, 7));
    at_hand.keep(call, 0..10, || Some(entry(1)), OwnHits::default);
    assert_eq!(look(&at_hand, &call, 3, 1), (true, true));
    assert_eq!(look(&at_hand, &call, 3, 1), (true, false));
    assert_eq!(look(&at_hand, &call, 4, 1), (true, true));
    assert_eq!(look(&at_hand, &call, 4, 10), (false, false), "something is due");
    assert_eq!(look_for(false, &at_hand, &call, 5, 1), (false, true));
    assert_eq!(look(&at_hand, &call, 5, 1), (false, false), "nobody holds it any more");
}

#[test]
fn another_function_namespace_or_argument_is_another_call() {
    let at_hand = AtHand::new(1 << 20);
    at_hand.keep(call(1, 7), 0..10, || Some(entry(1)), OwnHits::default);
    let elsewhere = AtHandCall::new(1, 2, key::raw(&|key: &mut key::KeyWriter| key.arg(&7_u64)).unwrap()).unwrap();
    for other in [call(2, 7), call(1, 8), elsewhere] {
        assert!(!look(&at_hand, &other, 1, 1).0);
    }
}

#[test]
fn a_long_value_is_not_kept() {
    let at_hand = AtHand::new(1 << 20);
    at_hand.keep(call(1, 7), 0..10, || Some(entry(LONGEST_VALUE + 1)), OwnHits::default);
    assert!(!look(&at_hand, &call(1, 7), 1, 1).0);
}

#[test]
fn each_thread_has_its_own_and_no_more_threads_than_the_machine_can_use() {
    let at_hand = AtHand::new(1 << 20);
    let keep = || at_hand.keep(call(1, 7), 0..10, || Some(entry(1)), OwnHits::default);
    keep();
    let all_there = std::sync::Barrier::new(at_hand.most_threads + 1);
    thread::scope(|scope| {
        let kept: Vec<_> = (0..=at_hand.most_threads)
            .map(|_| {
                scope.spawn(|| {
                    assert!(!look(&at_hand, &call(1, 7), 1, 1).0);
                    keep();
                    // Nobody ends before all have begun, so that no thread's number is used again.
                    all_there.wait();
                    look(&at_hand, &call(1, 7), 1, 1).0
                })
            })
            .collect();
        let kept = kept.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(kept.filter(|is_kept| *is_kept).count(), at_hand.most_threads - 1);
    });
}

#[test]
fn what_is_over_is_let_go_in_the_end() {
    let (at_hand, left, dead) = (AtHand::new(1), entry(1), entry(1));
    at_hand.keep(call(1, 7), 0..10, || Some(Arc::clone(&left)), OwnHits::default);
    at_hand.keep(call(1, 8), 0..5, || Some(Arc::clone(&dead)), OwnHits::default);
    assert_eq!(look_for(false, &at_hand, &call(1, 7), 3, 1), (false, true));
    let other = self::entry(LONGEST_VALUE);
    for id in 0..100 * FEWEST_PLACES {
        at_hand.keep(call(2, id), 5..10, || Some(Arc::clone(&other)), OwnHits::default);
    }
    assert_eq!((Arc::strong_count(&left), Arc::strong_count(&dead)), (1, 1));
}

#[test]
fn most_of_a_thousand_are_kept_and_then_most_of_another_thousand() {
    let at_hand = AtHand::new(64 << 20);
    for function in [1, 2] {
        for _ in 0..100 {
            for id in 0..1000 {
                if !look(&at_hand, &call(function, id), 1, 1).0 {
                    at_hand.keep(call(function, id), 0..10, || Some(entry(1)), OwnHits::default);
                }
            }
        }
        let kept = (0..1000).filter(|id| look(&at_hand, &call(function, *id), 1, 1).0).count();
        assert!(kept > 980, "{kept}");
    }
}
