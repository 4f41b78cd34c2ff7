//! The state that one request changes for the next.

use std::time::{Duration, SystemTime};

use crate::{
    answer::Answer,
    call::Call,
    chaos::Chaos,
    engine::{Charge, Decision, Engine},
    jobs::World,
    ledger::Ledger,
    replies::Reply,
    route::{Route, unversioned},
    script::Script,
    tokens::estimate,
    verdict::Verdict,
};

/// The state that one request changes for the next. It is under one lock, so that the times in the
/// ledger are the very times the engine decided by, in the same order.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    pub(crate) script: Script,
    pub(crate) chaos: Option<Chaos>,
    pub(crate) world: World,
}

impl Books {
    /// Decides on a valid call that nothing is scripted for.
    pub(crate) fn decide(&mut self, call: &Call, reply: Reply, at: Duration) -> Verdict {
        let (now, tokens) = (at.as_micros() as u64, estimate(call));
        let charge = (self.engine).charge(&call.key, &call.model, call.route, tokens, now);
        if let Some(response) = self.disturb(&charge) {
            return Verdict::Given(response);
        }
        let decision = self.engine.decide_on(&charge);
        let gauges = self.engine.gauges(&charge, now);
        match decision {
            Decision::Accept => Verdict::Accepted(reply, gauges, charge),
            Decision::Reject { retry_after, over } => Verdict::Rejected(gauges, retry_after, over),
        }
    }

    /// The failure that chaos has for a call that would pass.
    fn disturb(&mut self, charge: &Charge) -> Option<Answer> {
        let chaos = self.chaos.as_mut()?;
        let passes = self.engine.look_at(charge) == Decision::Accept;
        passes.then(|| chaos.next(SystemTime::now())).flatten()
    }

    pub(crate) fn note(&mut self, at: Duration, method: &str, path: &str, verdict: &Verdict) {
        let name = format!("{method} {}", unversioned(path));
        let route = Route::of(method, path);
        self.ledger.note(at, route, name, verdict.status());
    }
}
