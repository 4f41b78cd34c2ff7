//! The table: which limits there are, and what they count.

use std::time::Duration;

use crate::{course::Course, limit::Limit, route::Route};

/// Which limits there are, and which routes each of them counts.
///
/// The default, per key and model, by GCRA with the burst of one second:
///
/// | routes | requests a minute | burst |
/// |---|---|---|
/// | chat completions; completions | 600 each | 10 |
/// | embeddings | 300 | 5 |
/// | image generations | 60 | 1 |
/// | the first three together | 600 | 10 |
///
/// Tokens are not limited by default. What they are counted by is told at the
/// [front page](crate#limits).
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) quotas: Vec<Quota>,
}

/// One limit over one or several routes.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    pub(crate) routes: Vec<Route>,
    pub(crate) unit: Unit,
    pub(crate) limit: Limit,
}

/// The unit that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Requests, each of them one.
    Requests,
    /// The tokens of a prompt and of what is made of it.
    Tokens,
}

impl Rules {
    /// No limits at all.
    pub fn none() -> Self {
        Self { quotas: Vec::new() }
    }

    /// The default, but that limits move: embeddings have 300, then 150, then 600 requests a minute,
    /// the first two for 60 s each from the server's start, and share nothing with chat.
    pub fn moving() -> Self {
        let embeddings = Limit::smooth(300)
            .then(Duration::from_secs(60), 150)
            .then(Duration::from_secs(120), 600);
        let mut rules = Self::default().limit(Route::Embeddings, embeddings);
        rules.quotas.retain(|quota| quota.routes.len() == 1);
        rules
    }

    /// Sets a route's own limit, in place of the one it had.
    ///
    /// # Panics
    /// On [`Route::Other`]: its responses are scripted, so nothing is decided there.
    pub fn limit(self, route: Route, limit: Limit) -> Self {
        self.shared(&[route], limit)
    }

    /// Sets a limit that these routes draw on together, in place of one over the same routes.
    ///
    /// # Panics
    /// If `routes` is empty or has [`Route::Other`] in it.
    pub fn shared(self, routes: &[Route], limit: Limit) -> Self {
        self.quota(routes, Unit::Requests, limit)
    }

    /// Sets a route's limit on tokens, in place of the one it had; a request must be inside both
    /// its limits.
    ///
    /// # Panics
    /// On [`Route::Other`], or if the limit is [dynamic](Limit::dynamic), which counts requests.
    pub fn tokens(self, route: Route, limit: Limit) -> Self {
        assert!(
            !matches!(limit.course, Course::Dynamic(_)),
            "a dynamic limit counts requests: give tokens another one"
        );
        self.quota(&[route], Unit::Tokens, limit)
    }

    fn quota(mut self, routes: &[Route], unit: Unit, limit: Limit) -> Self {
        assert!(!routes.is_empty(), "a limit needs a route to count");
        assert!(
            !routes.contains(&Route::Other),
            "Route::Other has no limit: script its rejections"
        );
        let mut routes = routes.to_vec();
        routes.sort_unstable();
        routes.dedup();
        self.quotas
            .retain(|quota| quota.unit != unit || quota.routes != routes);
        self.quotas.push(Quota {
            routes,
            unit,
            limit,
        });
        self
    }

    /// How many requests a route's limits allow from one time to another, in microseconds; `None`
    /// if none is limited, or that hangs on the requests before.
    pub(crate) fn allowed(&self, route: Route, from: u64, until: u64) -> Option<f64> {
        let counts = |quota: &&Quota| quota.unit == Unit::Requests && quota.routes.contains(&route);
        let (mut at, mut allowed) = (from, 0.0);
        while at < until {
            let (mut rate, mut next) = (f64::INFINITY, until);
            for quota in self.quotas.iter().filter(counts) {
                let (pace, changes) = quota.limit.planned(at)?;
                rate = rate.min(pace.rate());
                next = next.min(changes.unwrap_or(until));
            }
            allowed += rate * (next - at) as f64 / 1e6;
            at = next;
        }
        Some(allowed).filter(|allowed| allowed.is_finite())
    }
}

impl Quota {
    /// The cost of a request of `tokens` tokens.
    pub(crate) fn cost(&self, tokens: u64) -> u64 {
        match self.unit {
            Unit::Requests => 1,
            Unit::Tokens => tokens,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        use Route::{Chat, Completions, Embeddings, Images};
        Self::none()
            .limit(Chat, Limit::smooth(600))
            .limit(Completions, Limit::smooth(600))
            .limit(Embeddings, Limit::smooth(300))
            .limit(Images, Limit::smooth(60))
            .shared(&[Chat, Completions, Embeddings], Limit::smooth(600))
    }
}
