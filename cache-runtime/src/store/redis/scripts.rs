//! The Lua scripts, and calls of them.
//!
//! A script is one atomic step on the server. It is called by its digest; a server that does not
//! know it answers `NOSCRIPT` without having run anything, and gets the source then.

use std::sync::LazyLock;

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
            Script::new(concat!($(include_str!(concat!("scripts/", $file))),+), $repeatable)
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
    /// Takes a lease.
    LEASE = false, ["lib_seen.lua", "lib_wake.lua", "lib_seized.lua", "lease.lua"];
    /// Takes a lease from whoever holds it.
    SEIZE = false, ["lib_seen.lua", "lib_wake.lua", "lib_seized.lua", "seize.lua"];
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

/// One call of a script.
#[derive(Debug)]
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: &'static Script, keys: Vec<String>) -> Self {
        Self { script, keys, args: Vec::new() }
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

    pub(super) fn is_repeatable(&self) -> bool {
        self.script.repeatable
    }

    /// The call for a server that knows the script.
    pub(super) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", &self.script.digest)
    }

    /// The call that teaches the server the script.
    pub(super) fn by_source(&self) -> Cmd {
        self.command("EVAL", self.script.source)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut cmd = redis::cmd(name);
        cmd.arg(script).arg(self.keys.len());
        for key in &self.keys {
            cmd.arg(key);
        }
        for arg in &self.args {
            cmd.arg(&arg[..]);
        }
        cmd
    }
}
