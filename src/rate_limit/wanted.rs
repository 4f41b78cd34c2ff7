//! The turn of a request that waits for it.

use std::task::{Context, Poll, ready};

use http::{Extensions, Request};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    departed::Departed,
    read,
    tokens::{self, Tokenizer},
};
use crate::{
    body::RequestBody,
    clock,
    limiter::{Inner, Lost, Turn},
    observe::Traced,
    words::{
        Charge, Endpoint,
        extension::{Attempt, LetGo},
    },
};

/// A request that waits for its turn.
pub(super) struct Wanted {
    turn: Turn,
    endpoint: Endpoint,
    /// For the events of a request that waits or is rejected.
    traced: Traced,
    /// Counts the request's tokens.
    tokenizer: Option<Tokenizer>,
    /// The caller's deadline, computed at the first poll.
    deadline: Option<Instant>,
}

impl Wanted {
    pub(super) fn new(turn: Turn, endpoint: Endpoint, tokenizer: Option<Tokenizer>) -> Self {
        Self {
            turn,
            endpoint,
            traced: Traced::default(),
            tokenizer,
            deadline: None,
        }
    }
}

/// Ready once the request may be sent, or never will. A request that the layer does not limit has no [`Departed`].
pub(super) fn poll_turn<S, B>(
    inner: &mut S,
    request: &mut Request<B>,
    wanted: &mut Option<Wanted>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Departed>, Lost<S::Error>>>
where
    S: Service<Request<B>> + Clone,
    B: RequestBody,
{
    let Some(wanted) = wanted else {
        return inner.poll_ready(cx).map_ok(|()| None).map_err(Lost::Inner);
    };
    let (turn, endpoint) = (&mut wanted.turn, wanted.endpoint);
    let tokenizer = wanted.tokenizer.as_ref();
    let mut inner = Behind {
        service: inner,
        request: &mut *request,
    };
    let polled = if turn.is_queued() {
        if turn.is_uncounted(endpoint) {
            let call = read::call(inner.request, endpoint, false);
            turn.set_charge(tokens::charge(inner.request, &call, tokenizer));
        }
        ready!(turn.wait(&mut inner, cx))
    } else {
        let estimates = tokenizer.is_none() && turn.may_count_tokens(endpoint);
        let mut call = read::call(inner.request, endpoint, estimates);
        let deadline = call.deadline;
        wanted.deadline = deadline.and_then(|deadline| deadline.counted_from(clock::now()));
        read::hurry(&mut call, inner.request);
        if call.charge == Charge::NOTHING && turn.counts_tokens(&call) {
            call.charge = tokens::charge(inner.request, &call, tokenizer);
        }
        let polled = turn.arrive(&call, &mut inner, cx);
        if !matches!(polled, Poll::Ready(Ok(_))) {
            wanted.traced = Traced::of(endpoint, || call.model);
        }
        if polled.is_pending() {
            wanted.traced.wait(attempt(request));
        }
        ready!(polled)
    };
    match &polled {
        Ok(permit) => {
            wanted.traced.departed(permit.waited());
            if permit.marks() {
                mark(request.extensions_mut());
            }
        }
        Err(Lost::Rejected(rejected)) => {
            let attempt = attempt(request);
            wanted.traced.rejected(attempt, rejected, turn.repeats());
        }
        Err(Lost::Inner(_)) => {}
    }
    Poll::Ready(polled.map(|permit| Some(Departed::of(permit, endpoint, wanted.deadline, request))))
}

fn attempt<B>(request: &Request<B>) -> u32 {
    let attempt = request.extensions().get::<Attempt>();
    attempt.map_or(1, |attempt| attempt.number())
}

/// Runs once for each limiter. It is out of line, so that other requests are not moved one more time.
#[cold]
#[inline(never)]
fn mark(extensions: &mut Extensions) {
    extensions.insert(LetGo);
}

/// The inner service, as seen by the turn.
struct Behind<'a, S, B> {
    service: &'a mut S,
    request: &'a mut Request<B>,
}

impl<S, B> Inner for Behind<'_, S, B>
where
    S: Service<Request<B>> + Clone,
{
    type Error = S::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn let_go(&mut self) {
        // The clone is not ready. Dropping the ready service releases the slot or permit that it holds.
        *self.service = self.service.clone();
    }
}
