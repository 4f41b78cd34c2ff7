//! An API of several models, each with scripted failures, that records its requests.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::{BoxError, service_fn, util::BoxCloneService};
use tower_together::extension::Model;

pub(crate) type Client = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// The outcome of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// 0: the connection breaks.
    status: u16,
    retry_after: Option<&'static str>,
    takes: Duration,
}

pub(crate) fn status(status: u16) -> Reply {
    Reply {
        status,
        retry_after: None,
        takes: Duration::ZERO,
    }
}

impl Reply {
    pub(crate) fn retry_after(mut self, seconds: &'static str) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn takes(mut self, seconds: u64) -> Self {
        self.takes = Duration::from_secs(seconds);
        self
    }
}

/// One attempt, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    /// The model in the body.
    pub(crate) model: String,
    /// The model in the extensions.
    pub(crate) said: Option<String>,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone)]
pub(crate) struct Api {
    replies: Arc<Mutex<HashMap<&'static str, VecDeque<Reply>>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    under_way: Arc<AtomicUsize>,
    start: Instant,
}

impl Api {
    /// Gives each model's replies in order, and then successes for ever.
    pub(crate) fn new<const N: usize>(replies: [(&'static str, Vec<Reply>); N]) -> Self {
        let replies = replies.map(|(model, replies)| (model, replies.into()));
        Self {
            replies: Arc::new(Mutex::new(replies.into())),
            sent: Arc::default(),
            under_way: Arc::default(),
            start: Instant::now(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        BoxCloneService::new(service_fn(move |request| api.clone().respond(request)))
    }

    async fn respond(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let under_way = UnderWay::new(&self.under_way);
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let model = json["model"].as_str().unwrap_or_default().to_owned();
        let said = head.extensions.get::<Model>();
        let reply = {
            let mut replies = self.replies.lock().unwrap();
            replies.get_mut(&*model).and_then(VecDeque::pop_front)
        };
        self.sent.lock().unwrap().push(Sent {
            at: self.start.elapsed(),
            said: said.map(|model| model.name().to_owned()),
            model,
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body,
        });
        let reply = reply.unwrap_or(status(200));
        sleep(reply.takes).await;
        drop(under_way);
        if reply.status == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
        if let Some(wait) = reply.retry_after {
            let wait = wait.parse().unwrap();
            response.headers_mut().insert("retry-after", wait);
        }
        Ok(response)
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The models that were called, in order.
    pub(crate) fn models(&self) -> String {
        let models: Vec<_> = self.sent().into_iter().map(|sent| sent.model).collect();
        models.join(" ")
    }

    /// The number of requests in flight.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
