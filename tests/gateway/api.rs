//! A server that keeps what reached it, and answers what it is told to.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, extract::State};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, task::JoinHandle};

/// Lives as long as this.
pub(crate) struct Api {
    url: String,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    arrived: Vec<Arrived>,
    /// The next answers; after them it is 200 and an empty object.
    answers: Vec<Response<Body>>,
    is_silent: bool,
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
        let app = Router::new().fallback(answer).with_state(Arc::clone(&kept));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, kept, serving }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn will_answer(&self, answer: Response<impl Into<Body>>) {
        let answer = answer.map(Into::into);
        self.kept.lock().unwrap().answers.push(answer);
    }

    /// From now on it takes requests and answers none.
    pub(crate) fn falls_silent(&self) {
        self.kept.lock().unwrap().is_silent = true;
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

async fn answer(State(kept): State<Arc<Mutex<Kept>>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = {
        let mut kept = kept.lock().unwrap();
        kept.arrived.push(Arrived {
            path: head.uri.to_string(),
            headers: head.headers,
            body,
        });
        match kept.answers.is_empty() {
            _ if kept.is_silent => None,
            true => Some(Response::new(Body::from("{}"))),
            false => Some(kept.answers.remove(0)),
        }
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}
