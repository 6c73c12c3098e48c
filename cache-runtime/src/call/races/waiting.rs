//! Who waits for another process's load: how soon it looks again, and until when the lease is that one's.
//! Time jumps from one event to the next.

use tokio::time::{Instant, sleep};

use super::*;

/// The default.
const LEASE: Duration = Duration::from_secs(5);
/// A load that takes so long is not over at an instant at which anybody looks of itself.
const TAKES: Duration = Duration::from_millis(600);
/// How long calls of [`IMPATIENT`] wait for a load.
const PATIENCE: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(1);

static IMPATIENT: Function = Function::new(Plan {
    name: "impatient",
    policy: Policy { soft_timeout: Some(PATIENCE), ..FORGIVING_POLICY },
    ..Plan::DEFAULT
});

/// How long a call waited for a load of another process, which ended after [`TAKES`].
async fn waited(store: &Gated, here: &Cache, there: &Cache) -> Duration {
    let (elsewhere, end) = begin_load(there).await;
    let (began, waits) = (Instant::now(), spawn_load(here, 2));
    sleep(TAKES).await;
    end.send(Ok(1)).unwrap();
    assert_eq!(elsewhere.await.unwrap(), Ok(1));
    store.ended.send_modify(|ended| *ended += 1);
    assert_eq!(waits.await.unwrap(), 1);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_a_load_is_over_is_answered_at_once() {
    let (here, there, store) = two_processes().await;
    store.tells.store(true, Ordering::SeqCst);
    assert_eq!(waited(&store, &here, &there).await, TAKES);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_told_looks_again_and_again() {
    let (here, there, store) = two_processes().await;
    let waited = waited(&store, &here, &there).await;
    assert!((TAKES..=TAKES + Duration::from_millis(50)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_nothing_of_the_end_looks_after_a_quarter_of_a_second() {
    let (here, there, store) = two_processes().await;
    store.tells.store(true, Ordering::SeqCst);
    let (elsewhere, _end) = begin_load(&there).await;
    let (began, waits) = (Instant::now(), spawn_load(&here, 2));
    sleep(TAKES).await;
    // It gives its lease back, and nobody says so.
    elsewhere.abort();
    assert_eq!(waits.await.unwrap(), 2);
    assert!(began.elapsed() <= TAKES + Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_by_itself() {
    let (here, there, _, clock) = two_processes_and_clock().await;
    // It comes to no renewal: that is due after a third of the lease, and less time passes.
    let (_holder, _end) = begin_load(&there).await;
    let (began, waits) = (Instant::now(), spawn_load(&here, 2));
    clock.advance(LEASE - Duration::from_millis(1));
    sleep(Duration::from_millis(100)).await;
    assert!(!waits.is_finished(), "the lease is held");
    clock.advance(Duration::from_millis(1));
    assert_eq!(waits.await.unwrap(), 2);
    assert!(began.elapsed() < LEASE / 3, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_its_load_takes() {
    let (here, there, _, clock) = two_processes_and_clock().await;
    let (elsewhere, end) = begin_load(&there).await;
    let waits = spawn_load(&here, 2);
    for _ in 0..9 {
        sleep(LEASE / 3).await;
        clock.advance(LEASE / 3);
    }
    assert!(!waits.is_finished(), "the lease is held");
    end.send(Ok(1)).unwrap();
    assert_eq!((elsewhere.await.unwrap(), waits.await.unwrap()), (Ok(1), 1));
}

/// A call that would load 2: what it was answered, and how long after it.
fn spawn_impatient(cache: &Cache) -> JoinHandle<(Result<u32, String>, Duration)> {
    let cache = cache.clone();
    tokio::spawn(async move {
        let began = Instant::now();
        let shape = L1::<Result<u32, String>>::NEW.outer().inner().errors();
        let Enter::Miss(call) = enter(shape, stored(shape), &IMPATIENT, &cache, |key| key.literal("n")) else {
            panic!("nothing is near")
        };
        let again = cache.clone();
        let call = call.background(|| Box::pin(async move { super::call(&IMPATIENT, &again, Ok(2)).await }));
        let answer = call.load(async { Ok(2) }).await;
        (answer, began.elapsed())
    })
}

/// 1. Another process loads, and a call with a stale value waits for it. 2. The value dies. 3. The call's patience
///    ends, before it looks again.
#[tokio::test(start_paused = true)]
async fn a_value_that_dies_while_another_processs_load_is_waited_for_is_nobodys_answer() {
    let (here, there, store, clock) = two_processes_and_clock().await;
    store.tells.store(true, Ordering::SeqCst);
    assert_eq!(call(&IMPATIENT, &here, Ok(1)).await, Ok(1));
    // A second of ttl and a minute after it, up to the last millisecond.
    clock.advance(Duration::from_secs(61) - STEP);
    let (_elsewhere, _end) = begin_load(&there).await;
    assert_eq!(spawn_impatient(&here).await.unwrap(), (Ok(1), PATIENCE), "it is alive");
    let waits = spawn_impatient(&here);
    sleep(PATIENCE / 2).await;
    clock.advance(STEP);
    assert_eq!(waits.await.unwrap(), (Ok(2), PATIENCE), "it is dead");
}

/// The same cache, whose calls wait for their server no longer than this altogether.
fn limited(cache: Cache, limit: Duration) -> Cache {
    let Cache { inner, space } = cache;
    let mut inner = Arc::into_inner(inner).expect("no call has begun");
    inner.call_limit = Some(limit);
    Cache { inner: Arc::new(inner), space }
}

/// Each lease takes more than half of the time that a call may wait for its server.
#[tokio::test(start_paused = true)]
async fn who_has_waited_for_another_process_may_wait_for_its_server_anew() {
    for is_batch in [false, true] {
        let (here, there, store) = two_processes().await;
        let here = limited(here, Duration::from_millis(100));
        let (elsewhere, _end) = begin_load(&there).await;
        let answer_late = async |answers| {
            store.leases.until_held(answers).await;
            sleep(Duration::from_millis(60)).await;
            store.leases.open();
        };
        store.leases.hold_next();
        let waits = spawn_one_or_many(&here, 2, is_batch);
        answer_late(1).await;
        sleep(TAKES).await;
        store.leases.close();
        elsewhere.abort();
        answer_late(2).await;
        assert_eq!(waits.await.unwrap(), 2);
        assert_eq!(there.get::<u32>("n").await.unwrap(), Some(2), "no slow server; batch: {is_batch}");
    }
}

/// 1. A batch asks for two leases, and the second one is granted first. 2. It is dropped. 3. Another process loads.
#[tokio::test(start_paused = true)]
async fn a_batch_that_goes_while_it_waits_for_some_leases_gives_the_others_back() {
    let (here, there, store) = two_processes().await;
    store.leases.hold_next();
    let batch = tokio::spawn(async move { call_each(&here, &["m", "n"], 1).await });
    store.leases.until_held(1).await;
    batch.abort();
    assert!(batch.await.unwrap_err().is_cancelled());
    assert_eq!(load(&there, 2).await, 2);
    assert_eq!(there.get::<u32>("n").await.unwrap(), Some(2), "the lease is held by nobody");
}
