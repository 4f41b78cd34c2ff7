//! A server that records its requests, and gives scripted responses.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, extract::State};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// A server that lives as long as this value.
pub(crate) struct Api {
    url: String,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    arrived: Vec<Arrived>,
    /// The next responses; later ones are 200 with an empty object.
    responses: Vec<Response<Body>>,
    /// The number of requests that may get a response; `None` is no limit.
    gate: Option<Arc<Semaphore>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::default();
        let app = Router::new()
            .fallback(respond)
            .with_state(Arc::clone(&kept));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, kept, serving }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn will_respond(&self, response: Response<impl Into<Body>>) {
        let response = response.map(Into::into);
        self.kept.lock().unwrap().responses.push(response);
    }

    /// From now on, requests wait for their responses.
    pub(crate) fn holds(&self) {
        self.kept.lock().unwrap().gate = Some(Arc::new(Semaphore::new(0)));
    }

    /// Responds to the next `requests` requests, in the order in which they arrived.
    pub(crate) fn lets_go(&self, requests: usize) {
        let kept = self.kept.lock().unwrap();
        kept.gate.as_ref().unwrap().add_permits(requests);
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.kept.lock().unwrap().arrived.clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn respond(State(kept): State<Arc<Mutex<Kept>>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (response, gate) = {
        let mut kept = kept.lock().unwrap();
        kept.arrived.push(Arrived {
            path: head.uri.to_string(),
            headers: head.headers,
            body,
        });
        let response = match kept.responses.is_empty() {
            true => Response::new(Body::from("{}")),
            false => kept.responses.remove(0),
        };
        (response, kept.gate.clone())
    };
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    response
}
