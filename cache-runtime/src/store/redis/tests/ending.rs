//! Reads that are under way when their runtime ends, or that are dropped where there is none.

use std::{future::Future, pin::Pin, sync::mpsc, thread, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::runtime::{Builder, Runtime};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

type Read = Pin<Box<dyn Future<Output = Result<Reading>> + Send>>;

impl Setup {
    /// A setup whose links are there, on a server that answers nothing for as long.
    fn paused(runtime: &Runtime, millis: &str) -> Self {
        let setup = runtime.block_on(Self::new());
        runtime.block_on(setup.read(setup.on.space.clone())).unwrap();
        assert!(setup.server.cli(&["CLIENT", "PAUSE", millis]).contains("OK"));
        setup
    }

    fn read(&self, space: Namespace) -> Read {
        let store = Arc::clone(&self.on.store);
        Box::pin(async move { store.read(&space, &["a"], &[]).await })
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Does it in a thread without a runtime, and fails if that does not come to an end.
fn in_a_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        work();
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} does not end"));
}

/// Ends a runtime while so many of its tasks read, each in a namespace of its own.
fn end_while_reading(runtime: Runtime, reads: usize) {
    let setup = Setup::paused(&runtime, "3000");
    runtime.block_on(async {
        for n in 0..reads {
            let mut read = setup.read(Namespace::new(&n.to_string()));
            // Polled here, so that it is sent or waits when the runtime ends.
            assert!(
                std::future::poll_fn(|context| std::task::Poll::Ready(read.poll_unpin(context).is_pending())).await
            );
            tokio::spawn(read);
        }
    });
    in_a_thread("the runtime", move || drop(runtime));
}

#[test]
fn a_runtime_ends_while_its_tasks_read() {
    end_while_reading(current_thread(), 8);
    end_while_reading(multi_thread(), 8);
}

/// One would be dropped within the other, in a task's stack.
#[test]
fn a_runtime_ends_however_many_of_its_tasks_read() {
    end_while_reading(multi_thread(), 10_000);
}

#[test]
fn a_read_that_is_dropped_outside_of_a_runtime_leaves_those_that_wait_to_theirs() {
    let runtime = current_thread();
    let setup = Setup::paused(&runtime, "100");
    let mut reads: Vec<Read> = (0..1_000).map(|n| setup.read(Namespace::new(&n.to_string()))).collect();
    runtime.block_on(async {
        for read in &mut reads {
            assert!(read.now_or_never().is_none(), "it is sent, or waits");
        }
    });
    let first = reads.remove(0);
    in_a_thread("dropping a read", move || drop(first));
    let done = runtime.block_on(join_all(reads));
    assert!(done.iter().all(Result::is_ok), "{:?}", done.into_iter().find_map(Result::err));
}
