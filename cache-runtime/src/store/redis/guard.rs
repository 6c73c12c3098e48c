//! The restart guard: before a link is used for a namespace for the first time, it is made sure
//! that the server behind it still has what it was told.
//!
//! 1. An invalidation is acknowledged.
//! 2. The server ends, and starts with a snapshot from before 1; or a replica takes its place that has
//!    not heard of 1.
//! 3. A new link is made.
//! 4. What is read on it may be what was invalidated.
//!
//! So between 3 and 4 a script compares the run of the server (`RunId`) with what the namespace
//! remembers. A run that it does not know is noted together with a new nonce, by which all that is
//! stored from before is invalid.
//!
//! In a cluster the stamps are at one master and the values at all of them, so the namespace
//! remembers the runs of all, and a new link to any of them is a question to the master of the
//! stamps. The runs that other links have reached are asked about in the same breath: masters
//! that are new together cost one nonce, not one each.

use std::sync::Arc;

use crate::{error::Result, store::StoreFuture};

use super::{
    dial::RunId,
    errand::Errand,
    fault,
    names::{Names, new_token},
    node::Node,
    scripts::{Call, GUARD, GUARD_MASTERS},
    session::Session,
    topology::{Map, Topology},
};

impl Topology {
    /// Sees to it that the session's link may be used for the namespace.
    pub(super) async fn guard(
        self: &Arc<Self>,
        map: &Arc<Map>,
        session: &mut Session,
        errand: &Errand<'_>,
    ) -> Result<()> {
        if !self.guards() || session.link().is_guarded(errand.space) {
            return Ok(());
        }
        if map.is_cluster() {
            self.guard_masters(map, session, errand).await?;
        } else {
            let names = Names::of(errand.space);
            let keys = vec![names.run(), names.nonce(), names.clock()];
            Box::pin(session.call(Call::new(&GUARD, keys).show(new_token()?))).await?;
        }
        session.link().set_guarded(errand.space);
        Ok(())
    }

    /// An errand within an errand, hence the box. It needs no guard itself: what it asks about is not
    /// read from the link that it goes over, and whoever reads there asks about that one too.
    fn guard_masters<'a>(
        self: &'a Arc<Self>,
        map: &'a Arc<Map>,
        session: &'a Session,
        errand: &'a Errand<'_>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let own = session.link().run_id().cloned().ok_or_else(|| fault::unexpected("INFO"))?;
            let others: Vec<(&Arc<Node>, RunId)> =
                map.nodes().iter().filter_map(|node| Some((node, node.run_id()?))).collect();
            let names = Names::of(errand.space);
            let call = Call::new(&GUARD_MASTERS, vec![names.run(), names.nonce(), names.clock()]);
            let call = call.show(new_token()?).show(&own);
            let call = others.iter().fold(call, |call, (_, run_id)| call.show(run_id));
            self.ask(&errand.as_guard(), call).await?;
            others.iter().for_each(|(node, run_id)| node.pool.set_guarded(errand.space, run_id));
            Ok(())
        })
    }
}
