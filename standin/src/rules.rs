//! The table: which limits there are, and what they count.

use crate::{Limit, Route};

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
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) quotas: Vec<Quota>,
}

/// One limit over one or several routes.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    pub(crate) routes: Vec<Route>,
    pub(crate) limit: Limit,
}

impl Rules {
    /// No limits at all.
    pub fn none() -> Self {
        Self { quotas: Vec::new() }
    }

    /// Sets a route's own limit, in place of the one it had.
    ///
    /// # Panics
    /// On [`Route::Other`]: its answers are scripted, so nothing is decided there.
    pub fn limit(self, route: Route, limit: Limit) -> Self {
        self.shared(&[route], limit)
    }

    /// Sets a limit that these routes draw on together, in place of one over the same routes.
    ///
    /// # Panics
    /// If `routes` is empty or has [`Route::Other`] in it.
    pub fn shared(mut self, routes: &[Route], limit: Limit) -> Self {
        assert!(!routes.is_empty(), "a limit needs a route to count");
        assert!(
            !routes.contains(&Route::Other),
            "Route::Other has no limit: script its refusals"
        );
        let mut routes = routes.to_vec();
        routes.sort_unstable();
        routes.dedup();
        self.quotas.retain(|quota| quota.routes != routes);
        self.quotas.push(Quota { routes, limit });
        self
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
