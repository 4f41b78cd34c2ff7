//! The app: what it shares, and which path is what.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use tower_together::Limiter;

use crate::{
    access::Access,
    client::{self, Sender},
    forward::forward,
    history::History,
    lanes, metrics, page,
    target::Target,
    traffic::Traffic,
};

/// What all calls share.
pub(crate) struct Gateway {
    pub(crate) access: Access,
    pub(crate) target: Target,
    pub(crate) limiter: Limiter,
    pub(crate) sender: Sender,
    pub(crate) traffic: Arc<Traffic>,
    /// Whether the API refused the gateway's key the last time, and that was said.
    pub(crate) refused: AtomicBool,
    history: Mutex<History>,
    /// Which run of the program it is: what was counted in another is over.
    pub(crate) run: u32,
}

impl Gateway {
    pub(crate) fn new(access: Access, target: Target, limiter: Limiter) -> Self {
        Self {
            access,
            sender: client::sender(limiter.clone(), &target),
            target,
            limiter,
            traffic: Arc::default(),
            refused: AtomicBool::new(false),
            history: Mutex::default(),
            run: (RandomState::new().hash_one(()) >> 32) as u32,
        }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn app(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/lanes", get(lanes::lanes))
        .route("/metrics", get(metrics::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&gateway), look))
        .fallback(forward)
        .with_state(gateway)
}

/// The gateway's own pages tell no secrets, but not everybody.
async fn look(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response<Body> {
    let refusal = gateway
        .access
        .refuses_look(request.uri(), request.headers());
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}
