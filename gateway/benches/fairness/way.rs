//! The way of a request to the API.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::GREEDY;

type Body = Full<Bytes>;

#[derive(Clone)]
pub(crate) struct Way {
    service: BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>,
    url: String,
}

impl Way {
    /// Through the process at this address.
    pub(crate) fn to(url: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let client = client.map_err(BoxError::from);
        Self {
            service: BoxCloneSyncService::new(client),
            url: url.to_owned(),
        }
    }

    /// Through a queue that serves all requests in the order of their arrival.
    pub(crate) fn in_order(url: String) -> Self {
        let queue = ServiceBuilder::new()
            .buffer(2 * GREEDY)
            .rate_limit(1, Duration::from_millis(100))
            .map_request(|mut request: Request<Body>| {
                let key = HeaderValue::from_static("Bearer shared");
                request.headers_mut().insert(AUTHORIZATION, key);
                request
            })
            .service(Client::builder(TokioExecutor::new()).build_http());
        Self {
            service: BoxCloneSyncService::new(queue),
            url,
        }
    }

    /// Sends one chat request of `program`, and returns the time until its response has ended.
    pub(crate) async fn ask(&self, program: &str) -> Result<Duration, BoxError> {
        let request = Request::post(format!("{}/v1/chat/completions", self.url))
            .header(AUTHORIZATION, format!("Bearer {program}"))
            .header("content-type", "application/json")
            .body(Full::from(CHAT))?;
        let since = Instant::now();
        let response = self.service.clone().oneshot(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        match status.is_success() {
            true => Ok(since.elapsed()),
            false => Err(format!("the {program} program got a {status}").into()),
        }
    }
}

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
