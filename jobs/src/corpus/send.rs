use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{extension::InLine, retry::Resubmission};

use crate::{
    Failure, JobsApi,
    call::{BoxError, answer},
};

/// Sends requests, and makes them anew while that may help.
#[derive(Clone)]
pub(super) struct Sender<S> {
    pub(super) api: JobsApi<S>,
    pub(super) in_line: InLine,
    resubmits: u32,
    /// Whether the server has answered anything at all.
    answered: Arc<AtomicBool>,
}

impl<S> Sender<S> {
    pub(super) fn new(api: JobsApi<S>, resubmits: u32) -> Self {
        Self {
            api,
            in_line: InLine::new(),
            resubmits,
            answered: Arc::default(),
        }
    }

    /// Sends a request, and reads its response, until both go well or nothing more helps.
    pub(super) async fn send<R, T>(
        &self,
        request: &Request<Full<Bytes>>,
        read: impl Fn(&Resubmission, Response<Bytes>) -> Result<T, Failure>,
    ) -> Result<T, Failure>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let mut resubmits = self.resubmits;
        loop {
            let mut request = request.clone();
            request.extensions_mut().insert(self.in_line.clone());
            let result = answer(&self.api, request, MOST, &read).await;
            match &result {
                Ok(_) => self.answered.store(true, Relaxed),
                Err(failure) if resubmits > 0 && failure.is_passing() => {
                    if self.answered.load(Relaxed) {
                        resubmits -= 1;
                        sleep(self.between()).await;
                        continue;
                    }
                }
                Err(_) => {}
            }
            return result;
        }
    }

    fn between(&self) -> Duration {
        self.api.interval() / 6
    }
}

/// Bytes of an answer.
const MOST: usize = 64 << 20;
