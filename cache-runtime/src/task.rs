//! Background work: each task has an owner, and ends with it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{runtime::Handle, task::AbortHandle};

/// A task of which at most one runs; it ends when its owner is dropped.
#[derive(Default)]
pub(crate) struct OneTask {
    running: Arc<AtomicBool>,
    handle: std::sync::Mutex<Option<AbortHandle>>,
}

/// Held by the running task. Dropping it, also by a panic or with the runtime, makes room for
/// the next.
pub(crate) struct Running {
    mark: Arc<AtomicBool>,
    /// Whether the mark is still this task's.
    held: AtomicBool,
}

impl OneTask {
    /// Starts the task unless it runs already or there is no tokio runtime here.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(&self, make: impl FnOnce(Running) -> F) {
        // Mostly it runs; a plain look keeps the cache line shared.
        if self.running.load(Ordering::SeqCst) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.running.swap(true, Ordering::SeqCst) {
            return;
        }
        let task = runtime.spawn(make(Running { mark: Arc::clone(&self.running), held: AtomicBool::new(true) }));
        *self.handle.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(task.abort_handle());
    }
}

impl Running {
    /// Ends the task if there is nothing more to do; `true` means that the caller must return.
    ///
    /// 1. The task finds nothing to do.
    /// 2. Somebody adds work and sees the task still running.
    /// 3. The task ends, and the work stays.
    ///
    /// So the mark goes first and the work is looked for again: either this task sees it, or
    /// whoever added it saw the mark gone.
    pub(crate) fn end_unless(&self, more_to_do: impl Fn() -> bool) -> bool {
        if more_to_do() {
            return false;
        }
        self.mark.store(false, Ordering::SeqCst);
        if more_to_do() && !self.mark.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.held.store(false, Ordering::Relaxed);
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if *self.held.get_mut() {
            self.mark.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for OneTask {
    fn drop(&mut self) {
        if let Some(task) = self.handle.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) {
            task.abort();
        }
    }
}

/// Runs work of bounded length that its caller does not wait for. What the embedded store needs
/// is done when this returns; the rest goes on beside the caller, where there is a tokio runtime.
pub(crate) fn detach(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if work.as_mut().poll(&mut context).is_pending()
        && let Ok(runtime) = Handle::try_current()
    {
        drop(runtime.spawn(work));
    }
}
