//! What users' own tests are made with.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{
    Cache, cached, invalidates,
    test_kit::{Operation, TestKit, assert_hits, assert_loads, assert_misses},
};

/// A function of a program that was written without a thought of tests.
#[cached(ttl = 10, key = "twice:<n>")]
async fn twice(n: u32) -> u32 {
    2 * n
}

#[cached(ttl = 10, key = "never")]
async fn never_called() -> u32 {
    0
}

#[invalidates(twice(n))]
async fn write(n: u32) -> Result<(), String> {
    let _ = n;
    Ok(())
}

/// A counter of runs, which tells a refreshed value from an old one.
#[derive(Clone, Default)]
struct Upstream(Arc<AtomicU32>);

impl Upstream {
    #[cached(ttl = 10, key = "run", stale_while_revalidate = 60)]
    async fn run(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    #[cached(ttl = 10, key = "slow", detached)]
    async fn outlives(&self) -> u32 {
        // The global cache of a load that goes on without its caller.
        tokio::task::yield_now().await;
        Cache::global().set("seen", &true).await.map_or(0, |()| 1)
    }
}

mod one {
    #[cache_runtime::cached(key = "one")]
    pub async fn shared_name() {}
}
mod other {
    #[cache_runtime::cached(key = "other")]
    pub async fn shared_name() {}
}

#[tokio::test]
async fn tests_that_run_at_once_have_caches_of_their_own() {
    let (left, right) = (TestKit::new().await, TestKit::new().await);
    let calls = async |kit: &TestKit, calls: u64| {
        for _ in 0..calls {
            twice(7).await;
            tokio::task::yield_now().await;
        }
        assert_loads!(twice, 1, in kit);
        assert_hits!(twice, calls - 1);
    };
    tokio::join!(left.run(calls(&left, 3)), right.run(calls(&right, 5)));
    assert_hits!(twice, 2, in left);
    assert_hits!(twice, 4, in &right);
}

#[tokio::test]
async fn the_global_cache_by_hand_is_the_tests_too() {
    let kit = TestKit::new().await;
    kit.run(async {
        twice(7).await;
        assert_eq!(Cache::global().get::<u32>("twice:7").await.unwrap(), Some(14));
        assert_eq!(Cache::global().stats().await.namespace, "test");
    })
    .await;
    assert_eq!(kit.cache().get::<u32>("twice:7").await.unwrap(), Some(14));
}

#[tokio::test]
async fn generated_siblings_and_writers_use_it() {
    let kit = TestKit::new().await;
    kit.run(async {
        twice(7).await;
        invalidate_twice(7).await.unwrap();
        twice(7).await;
        write(7).await.unwrap();
        twice(7).await;
        assert_loads!(twice, 3);
        assert_misses!(twice, 3);
    })
    .await;
}

#[tokio::test]
async fn an_inner_scope_wins_and_ends() {
    let (outer, inner) = (TestKit::new().await, TestKit::new().await);
    outer
        .run(async {
            inner.run(twice(7)).await;
            assert_loads!(twice, 0);
            twice(7).await;
        })
        .await;
    assert_loads!(twice, 1, in outer);
    assert_loads!(twice, 1, in inner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawned_tasks_can_be_part_of_the_test() {
    let kit = TestKit::new().await;
    let tasks = [kit.spawn(twice(1)), kit.spawn(twice(2)), tokio::spawn(kit.run(twice(3)))];
    for task in tasks {
        task.await.unwrap();
    }
    assert_loads!(twice, 3, in kit);
}

#[tokio::test]
async fn a_refresh_in_the_background_stays_in_the_test() {
    let kit = TestKit::new().await;
    let upstream = Upstream::default();
    kit.run(async {
        assert_eq!(upstream.run().await, 0);
        kit.advance(Duration::from_secs(11));
        while upstream.run().await == 0 {
            tokio::task::yield_now().await; // lets the refresh run
        }
        assert_loads!(Upstream::run, 2);
        assert_eq!(upstream.outlives().await, 1);
    })
    .await;
    assert_eq!(kit.cache().get::<bool>("seen").await.unwrap(), Some(true));
}

#[tokio::test]
async fn a_backend_that_fails_fails_no_call() {
    let kit = TestKit::new().await;
    kit.run(async {
        kit.faults().fail_reads();
        assert_eq!(twice(7).await, 14);
        assert_eq!(twice(7).await, 14);
        assert_loads!(twice, 2);
        assert!(kit.figures("twice").errors >= 2);
        assert!(kit.cache().get::<u32>("twice:7").await.is_err());
        kit.faults().heal();
        twice(7).await;
        twice(7).await;
        assert_loads!(twice, 3);
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_that_fails_says_so_and_is_made_up_for() {
    let kit = TestKit::new().await;
    kit.run(async {
        twice(7).await;
        kit.faults().fail(Operation::Invalidate);
        assert_eq!(invalidate_twice(7).await.unwrap_err().kind(), "unavailable");
        twice(7).await;
        assert_loads!(twice, 2);
        kit.faults().heal();
        invalidate_twice(7).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_holds_calls_up_for_its_time_out() {
    let kit = TestKit::new().await;
    let limit = Duration::from_millis(100);
    kit.faults().time_out_all(limit);
    let began = tokio::time::Instant::now();
    assert_eq!(kit.run(twice(7)).await, 14);
    assert_eq!(began.elapsed(), limit);
    assert_eq!(kit.cache().delete("n").await.unwrap_err().kind(), "timeout");
}

#[tokio::test]
async fn a_fill_that_is_held_back_does_not_undo_an_invalidation() {
    let kit = TestKit::new().await;
    kit.faults().hold(Operation::Read);
    let call = kit.spawn(twice(7));
    kit.faults().until_held(1).await;
    assert_eq!(kit.faults().in_flight(), 1);
    kit.faults().heal();
    kit.faults().hold(Operation::Write);
    kit.faults().until_held(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    kit.faults().heal();
    assert_eq!(kit.run(twice(7)).await, 14);
}

#[tokio::test]
async fn a_kit_takes_any_settings_and_a_clock() {
    let clock = cache_runtime::Clock::manual();
    let kit = TestKit::with(Cache::builder().namespace("mine").near_max_bytes(0).clock(clock.clone())).await;
    kit.run(twice(7)).await;
    clock.advance(Duration::from_secs(10));
    kit.run(twice(7)).await;
    assert_loads!(twice, 2, in kit);
    assert_eq!(kit.cache().stats().await.namespace, "mine");
}

#[tokio::test]
async fn what_was_never_called_counts_nothing() {
    let kit = TestKit::new().await;
    assert_loads!(never_called, 0, in kit);
    kit.run(never_called()).await;
    assert_loads!(crate::testkit::never_called, 1, in kit);
}

#[tokio::test]
async fn a_failed_assertion_says_what_was_counted() {
    let kit = TestKit::new().await;
    kit.run(async { twice(7).await }).await;
    let said = message(|| assert_hits!(twice, 3, in kit));
    assert!(said.contains("`twice` has 0 hits, not 3"), "{said}");
    assert!(said.contains("loads: 1"), "{said}");
}

#[tokio::test]
async fn each_assertion_is_about_its_own_figure() {
    let kit = TestKit::new().await;
    kit.run(async {
        for _ in 0..4 {
            twice(7).await;
        }
        Cache::disabled(twice(7)).await;
        assert_hits!(twice, 3);
        assert_misses!(twice, 1);
        assert_loads!(twice, 2);
    })
    .await;
    assert!(message(|| assert_hits!(twice, 2, in kit)).contains("`twice` has 3 hits, not 2"));
    assert!(message(|| assert_misses!(twice, 2, in kit)).contains("`twice` has 1 misses, not 2"));
    assert!(message(|| assert_loads!(twice, 1, in kit)).contains("`twice` has 2 loads, not 1"));
}

#[tokio::test]
async fn a_name_that_nobody_or_several_have_is_told_with_the_known_ones() {
    let kit = TestKit::new().await;
    let unknown = message(|| _ = kit.figures("thrice"));
    assert!(unknown.contains("no annotated function is called `thrice`; there are"), "{unknown}");
    assert!(unknown.contains("\n    suite::testkit::never_called"), "{unknown}");
    kit.run(async { tokio::join!(twice(7), one::shared_name(), other::shared_name()) }).await;
    let unknown = message(|| assert_loads!(thrice, 1, in kit));
    assert!(unknown.contains("called were") && unknown.contains("\n    suite::testkit::twice"), "{unknown}");
    assert!(!unknown.contains("never_called"), "{unknown}");
    let ambiguous = message(|| assert_loads!(shared_name, 1, in kit));
    assert!(ambiguous.contains("several functions are called `shared_name`"), "{ambiguous}");
    assert!(ambiguous.contains("testkit::one::shared_name") && ambiguous.contains("testkit::other::"), "{ambiguous}");
    assert_loads!(one::shared_name, 1, in kit);
}

/// What a failed assertion says.
fn message(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("it does not hold");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}
