use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{
    extension::{Deadline, QueueGauge},
    jobs::JobsApi,
    limiter::Reason,
    retry::Resubmission,
};

use super::heard::{Begun, Heard};
use crate::{
    call,
    failure::{BoxError, Failure},
};

/// Sends requests, and resubmits them while that may help.
#[derive(Clone)]
pub(super) struct Sender<S> {
    pub(super) api: JobsApi<S>,
    pub(super) gauge: QueueGauge,
    pub(super) heard: Heard,
    resubmits: u32,
}

impl<S> Sender<S> {
    pub(super) fn new(api: JobsApi<S>, resubmits: u32) -> Self {
        Self {
            api,
            gauge: QueueGauge::new(),
            heard: Heard::default(),
            resubmits,
        }
    }

    /// Sends a request, and reads its response, until both go well or nothing more helps.
    ///
    /// `parts` is whether the request can be sent in parts: then it is given back, as a failure of its own,
    /// as soon as it fails while the server responds to others.
    pub(super) async fn send<R, T>(
        &self,
        request: &Request<Full<Bytes>>,
        begun: Begun,
        parts: bool,
        read: impl Fn(&Resubmission, Response<Bytes>) -> Result<T, Failure>,
    ) -> Result<T, Failure>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let endpoint = self.api.endpoint(request);
        let rules = Resubmission::of(request, endpoint);
        let mut resubmits = self.resubmits;
        loop {
            let mut attempt = request.clone();
            let extensions = attempt.extensions_mut();
            extensions.insert(self.gauge.clone());
            extensions.insert(endpoint);
            if let Some(deadline) = rules.deadline() {
                // It counts from the first attempt.
                extensions.insert(Deadline::at(deadline));
            }
            let failure = match call::send(&self.api, attempt, MOST, &read).await {
                Ok(read) => {
                    self.heard.success(begun);
                    return Ok(read);
                }
                Err(failure) => failure,
            };
            self.heard.failure(&failure);
            let ended = resubmits == 0 || !self.may_resubmit(&rules, &failure);
            if parts && failure.is_server_error() && self.heard.others_than(begun, ended) {
                return Err(failure.into_own());
            }
            if ended {
                return Err(failure);
            }
            resubmits -= 1;
            sleep(self.between()).await;
        }
    }

    /// Whether another attempt may go well, and in time.
    fn may_resubmit(&self, rules: &Resubmission, failure: &Failure) -> bool {
        failure.is_transient()
            && failure.rejected() != Some(Reason::Deadline)
            && self.heard.anything()
            && rules.is_in_time(self.between())
    }

    fn between(&self) -> Duration {
        self.api.interval() / 6
    }
}

/// Bytes of a response.
const MOST: usize = 64 << 20;
