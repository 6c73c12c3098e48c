//! Everything that is logged while a test runs.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

/// The log of this thread, at the most detailed level, for as long as the guard lives.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to collect. Use it in a test on a current-thread runtime, which logs nowhere else.
    #[allow(dead_code, reason = "each binary of tests collects in one of two ways")]
    pub fn collect() -> (Self, tracing::subscriber::DefaultGuard) {
        // While there is one subscriber alone, a thread without it that comes to a line first settles for all
        // threads that nobody wants that line.
        static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&ANOTHER);
        let (log, subscriber) = Self::subscriber();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The log of all threads of this process, from now on. For a test in a binary of its own.
    #[allow(dead_code, reason = "each binary of tests collects in one of two ways")]
    pub fn collect_everywhere() -> Self {
        let (log, subscriber) = Self::subscriber();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    }

    fn subscriber() -> (Self, impl tracing::Subscriber + Send + Sync) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let subscriber = subscriber.with_writer(log.clone()).finish();
        (log, subscriber)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
