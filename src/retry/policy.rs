use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::time::{Sleep, sleep_until};

use super::{
    TogetherRetryLayer,
    settings::Settings,
    tries::{Ended, Tries, When},
    verdict::failure,
};
use crate::{clock, observe::Asked, words::extension::Model};

/// The layer's rules as a policy for `tower::retry`, for programs that already use its layer.
///
/// [`TogetherRetryLayer`] has abilities that a policy cannot have:
///
/// - it checks the deadline right before an attempt;
/// - it sends a streamed body again;
/// - it reads an error's body if no rate limit layer beneath has read it;
/// - it has the rate limit layer pause the lane of a request that ended with HTTP/2's `ENHANCE_YOUR_CALM`;
/// - it reads a discarded response to its end, so that the connection can be reused.
///
/// A policy does not work for a request whose body is not `Clone`.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_together::{TogetherRateLimitLayer, TogetherRetryLayer};
///
/// let stack = ServiceBuilder::new()
///     .retry(TogetherRetryLayer::default().policy())
///     .layer(TogetherRateLimitLayer::default());
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    settings: Arc<Settings>,
    /// State of the current request.
    tries: Option<Tries>,
    /// Whether the next request to be cloned is the current one. `tower::retry` first asks the service's own policy
    /// to clone a request, and only then clones the policy for it. So the state left from the previous request must
    /// not be used for the next one.
    again: bool,
}

impl TogetherRetryLayer {
    /// A policy that shares this layer's settings, budget included.
    pub fn policy(&self) -> Policy {
        Policy {
            settings: Arc::clone(&self.settings),
            tries: None,
            again: false,
        }
    }
}

impl<B: Clone, R, E: 'static> tower::retry::Policy<Request<B>, Response<R>, E> for Policy {
    type Future = Wait;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Wait> {
        let tries = self.tries.as_mut()?;
        let (ended, said) = match result {
            Ok(answer) => {
                let (headers, extensions) = (answer.headers(), answer.extensions());
                let failure = failure(answer.status(), headers, extensions);
                (failure.map(Ended::from), Some((headers, extensions)))
            }
            Err(error) => (Some(tries.ended(&*error)), None),
        };
        let asked = (request.headers(), request.extensions());
        let again =
            ended.and_then(|ended| tries.again(ended, asked, said, clock::now(), || Some(())));
        if let Some((when, ())) = again {
            tries.mark(request.extensions_mut());
            self.again = true;
            return Some(Wait::new(when));
        }
        if let (Ok(answer), Some(tries)) = (result, &mut self.tries) {
            tries.report(answer.extensions_mut());
        }
        None
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        if !mem::take(&mut self.again) {
            let endpoint = self.settings.classify.endpoint(request);
            self.tries = endpoint.map(|endpoint| {
                let model = || request.extensions().get().map(Model::shared);
                let asked = Asked::of(endpoint, model);
                let settings = Arc::clone(&self.settings);
                Tries::begin(request, endpoint, asked, settings, clock::now())
            });
        }
        let tries = self.tries.as_ref();
        let may = tries.is_some_and(Tries::may_retry);
        may.then(|| request.clone())
    }
}

pin_project_lite::pin_project! {
    /// The wait before a retry.
    #[derive(Debug)]
    pub struct Wait {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Wait {
    fn new(when: When) -> Self {
        let sleep = match when {
            When::InItsLane(at) => at,
            When::At(at) => Some(at),
        };
        let sleep = sleep.map(sleep_until);
        Self { sleep }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Ready(()),
        }
    }
}
