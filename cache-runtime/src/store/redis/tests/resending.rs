//! The client sends nothing again by itself. A command whose answer is lost may have been executed, and may have been
//! followed by an invalidation: only whoever asked knows what a second time would do.

use cache_test_support::{Direction, Proxy, Traffic};

use super::*;
use crate::store::{Fill, Found, LeaseRequest, Over};

/// One connection through a proxy, without the restart guard: all scripts that the server executes are those that are
/// sent here.
struct Line {
    setup: Setup,
    proxy: Proxy,
    store: RedisStore,
}

impl Line {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        let direct = RedisConfig { connections: 1, restart_guard: false, ..config(&server) };
        let through_proxy = RedisConfig { port: proxy.port(), ..direct.clone() };
        let store = RedisStore::connect(&through_proxy, Clock::manual()).await.unwrap();
        let on = Setup::fixture(&direct).await;
        Self { setup: Setup { server, on }, proxy, store }
    }

    /// How many scripts the server has executed.
    fn executed(&self) -> u64 {
        self.setup.calls("evalsha") + self.setup.calls("eval")
    }

    /// Cuts the connection after an operation's `scripts` were executed and before that is answered.
    async fn lose_the_answer<T>(&self, what: &str, scripts: u64, operation: impl AsyncFn(&RedisStore) -> Result<T>) {
        operation(&self.store).await.unwrap_or_else(|error| panic!("{what}, which teaches the server: {error}"));
        let before = self.executed();
        self.proxy.set(Direction::Replies, Traffic::Hold);
        let cut = async {
            while self.executed() < before + scripts {
                tokio::time::sleep(Duration::from_millis(1)).await; // lets the operation go on
            }
            self.proxy.cut();
            self.proxy.heal();
        };
        let (answered, ()) = tokio::join!(operation(&self.store), cut);
        assert!(matches!(answered, Err(Error::Unavailable { .. })), "{what}: an error says that nobody knows");
        // A new connection is in use.
        while self.store.read(&self.setup.on.space, &["probe"], &[]).await.is_err() {}
        assert_eq!(self.executed() - before, scripts, "{what} was sent again");
    }
}

/// Not so a pattern's scan, which begins anew by design.
#[tokio::test]
async fn what_was_executed_and_not_answered_is_not_sent_again() {
    let line = Line::new().await;
    let (on, space) = (&line.setup.on, &line.setup.on.space);
    on.put("entry", "1", &[]).await;
    let head = on.find("entry").await.entry.unwrap().head.clone();
    let stamp = on.stamp(&["t"]).await;
    let (token, tags) = (Token(1), conformance::tags(&["t"]));
    let minute = Duration::from_secs(60);

    let request = LeaseRequest { key: "leased", ttl: minute, seen: None, stamp };
    line.lose_the_answer("a lease", 1, async |store| store.lease(space, request).await).await;
    let seizure = Seizure { key: "seized", ttl: minute, tags: &[], over: Over::Anything };
    line.lose_the_answer("a seizure", 2, async |store| store.seize(space, seizure).await).await;
    line.lose_the_answer("a renewal", 1, async |store| store.renew(space, "seized", token, minute).await).await;
    let fill = || Fill { key: "seized", token, stamp, value: Some(on.value("1", &["t"])) };
    line.lose_the_answer("a fill", 2, async |store| store.fill_many(space, vec![fill()]).await).await;
    let increment = Increment { key: "n", by: 1, fresh: on.value("1", &[]) };
    let absent = Found::default();
    line.lose_the_answer("an increment", 1, async |store| store.add(space, &increment, &absent, stamp).await).await;
    let expire = async |store: &RedisStore| store.set_deadlines(space, "entry", &head, minute, stamp).await;
    line.lose_the_answer("an expiry", 2, expire).await;

    line.lose_the_answer("an invalidation", 1, async |store| store.invalidate_keys(space, &["entry"]).await).await;
    line.lose_the_answer("an invalidation of a tag", 1, async |store| store.invalidate_tags(space, &tags).await).await;
    line.lose_the_answer("a clear", 1, async |store| store.clear(space).await).await;
}
