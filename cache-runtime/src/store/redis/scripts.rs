//! The Lua scripts, and calls of them.
//!
//! A script is one atomic step on the server. It is called by its digest; a server that does not
//! know it answers `NOSCRIPT` without having run anything, and gets the source then. Where a command
//! does as well it is a call too, so that all that has a name goes one way (`errand`).

use std::sync::{Arc, LazyLock};

use bb8_redis::redis::{self, Cmd};

/// One script.
#[derive(Debug)]
pub(super) struct Script {
    source: &'static str,
    digest: String,
    /// It changes nothing that an earlier call could have changed, so that it may run again.
    repeatable: bool,
}

impl Script {
    fn new(source: &'static str, repeatable: bool) -> Self {
        Self { source, digest: redis::Script::new(source).get_hash().to_owned(), repeatable }
    }
}

macro_rules! scripts {
    ($($(#[$meta:meta])* $name:ident = $repeatable:literal, [$($file:literal),+];)+) => {$(
        $(#[$meta])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let source =
                concat!(include_str!("scripts/lib_call.lua"), $(include_str!(concat!("scripts/", $file))),+);
            Script::new(source, $repeatable)
        });
    )+};
}

scripts! {
    /// Makes missing stamps and answers all of them.
    ENSURE = true, ["lib_clock.lua", "ensure.lua"];
    /// Invalidates tags.
    TAGS = false, ["lib_clock.lua", "tags.lua"];
    /// Begins a new incarnation of the namespace.
    CLEAR = false, ["lib_clock.lua", "clear.lua"];
    /// Begins a new incarnation if the server was started anew.
    GUARD = false, ["lib_clock.lua", "guard.lua"];
    /// The same for the masters of a cluster.
    GUARD_MASTERS = false, ["lib_clock.lua", "guard_masters.lua"];
    /// Takes a lease.
    LEASE = false, ["lib_seen.lua", "lib_wake.lua", "lib_seized.lua", "lease.lua"];
    /// Takes a lease from whoever holds it.
    SEIZE = false, ["lib_seen.lua", "lib_wake.lua", "lib_seized.lua", "lib_clock.lua", "seize.lua"];
    /// Stores a value under its lease, or gives the lease back.
    FILL = false, ["lib_wake.lua", "fill.lua"];
    /// Lengthens a lease.
    RENEW = false, ["renew.lua"];
    /// Removes values and leases.
    INVALIDATE = false, ["lib_wake.lua", "invalidate.lua"];
    /// Gives an entry new deadlines.
    EXPIRE = false, ["lib_seen.lua", "expire.lua"];
    /// Adds to a whole number.
    INCREMENT = false, ["lib_seen.lua", "increment.lua"];
}

/// What a command has besides keys and arguments: its name, and a script's digest and count of keys.
const WORDS: usize = 3;
const WORDS_LEN: usize = 64;

/// One call of a script or of a command. All its names are in one slot.
#[derive(Debug)]
pub(super) struct Call {
    what: What,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
    undo: Option<Arc<Call>>,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Script(&'static Script),
    Command(&'static str),
}

impl Call {
    pub(super) fn new(script: &'static Script, keys: Vec<String>) -> Self {
        Self { what: What::Script(script), keys, args: Vec::new(), undo: None }
    }

    pub(super) fn command(name: &'static str, keys: Vec<String>) -> Self {
        Self { what: What::Command(name), keys, args: Vec::new(), undo: None }
    }

    #[must_use]
    pub(super) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Anything that is shown as text: tokens and numbers.
    #[must_use]
    pub(super) fn show(self, arg: impl ToString) -> Self {
        self.arg(arg.to_string())
    }

    /// What to send if this is not answered, or not waited for.
    #[must_use]
    pub(super) fn undone_by(mut self, undo: Self) -> Self {
        self.undo = Some(Arc::new(undo));
        self
    }

    pub(super) fn undo(&self) -> Option<&Arc<Self>> {
        self.undo.as_ref()
    }

    pub(super) fn names(&self) -> &[String] {
        &self.keys
    }

    /// A name that decides where it is sent.
    pub(super) fn name(&self) -> &str {
        self.keys.first().map_or("", |name| name)
    }

    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.what, What::Script(script) if script.repeatable)
    }

    /// The call for a server that knows the script.
    pub(super) fn by_digest(&self) -> Cmd {
        self.in_words("EVALSHA", |script| &script.digest)
    }

    /// The call that teaches the server the script.
    pub(super) fn by_source(&self) -> Cmd {
        self.in_words("EVAL", |script| script.source)
    }

    fn in_words(&self, eval: &str, text: impl Fn(&'static Script) -> &'static str) -> Cmd {
        let len: usize = self.keys.iter().map(String::len).chain(self.args.iter().map(Vec::len)).sum();
        let mut cmd = Cmd::with_capacity(self.keys.len() + self.args.len() + WORDS, len + WORDS_LEN);
        match self.what {
            What::Script(script) => cmd.arg(eval).arg(text(script)).arg(self.keys.len()),
            What::Command(name) => cmd.arg(name),
        };
        for key in &self.keys {
            cmd.arg(key);
        }
        for arg in &self.args {
            cmd.arg(&arg[..]);
        }
        cmd
    }
}
