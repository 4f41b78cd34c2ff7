use axum_core::{Error, body::Body};

use crate::body::{Kept, ReplayBuffer, RequestBody, replay};

impl RequestBody for Body {
    type Again = Option<Kept<Body>>;

    fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again) {
        replay::record(self, memory, Body::new, given_up)
    }

    fn again(kept: &Self::Again) -> Option<Self> {
        Some(Body::new(kept.as_ref()?.again()?))
    }
}

fn given_up() -> Option<Error> {
    replay::given_up().map(|error: Box<dyn std::error::Error + Send + Sync>| Error::new(error))
}
