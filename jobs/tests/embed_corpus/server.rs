//! A server of embeddings that knows requests by their texts.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// A text of `requests` requests. Its words are numbers.
pub(crate) fn numbered(requests: usize) -> String {
    let words = 0..requests * WORDS;
    words.map(|word| format!("{word} ")).collect()
}

/// Embeds the first requests of a [`numbered`] text, and rejects the others with a pause of 100 s. It
/// stops when this is dropped.
pub(crate) struct Server {
    url: String,
    rejected: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(embeds: usize) -> Self {
        let rejected = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&rejected);
        let app = Router::new().fallback(async move |body: Bytes| {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let texts = body["input"].as_array().unwrap();
            if request(texts) < embeds {
                return embedded(texts.len());
            }
            count.fetch_add(1, SeqCst);
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "100")]).into_response()
        });
        let (serving, url) = serve(app).await;
        Self {
            url,
            rejected,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many requests were rejected.
    pub(crate) fn rejected(&self) -> usize {
        self.rejected.load(SeqCst)
    }
}

/// Embeds texts, and responds with 400 to a request in which one begins so. It stops when the first of these is
/// dropped.
pub(crate) async fn rejecting(bad: &'static str) -> (JoinSet<()>, String) {
    let app = Router::new().fallback(async move |body: Bytes| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let texts = body["input"].as_array().unwrap();
        if texts
            .iter()
            .any(|text| text.as_str().unwrap().starts_with(bad))
        {
            let error = json!({"error": {"message": "a bad text"}}).to_string();
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        embedded(texts.len())
    });
    serve(app).await
}

/// Embeds one request, and then denies all until it [`relents`](Self::relent).
pub(crate) struct Denying {
    pub(crate) url: String,
    arrived: Arc<AtomicUsize>,
    relents: Arc<AtomicBool>,
    _serving: JoinSet<()>,
}

impl Denying {
    pub(crate) async fn start(status: u16, error: Value) -> Self {
        let (arrived, relents) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, relented) = (Arc::clone(&arrived), Arc::clone(&relents));
        let app = Router::new().fallback(async move |body: Bytes| {
            let body: Value = serde_json::from_slice(&body).unwrap();
            if count.fetch_add(1, SeqCst) == 0 || relented.load(SeqCst) {
                return embedded(body["input"].as_array().unwrap().len());
            }
            let error = json!({"error": error}).to_string();
            (StatusCode::from_u16(status).unwrap(), error).into_response()
        });
        let (serving, url) = serve(app).await;
        Self {
            url,
            arrived,
            relents,
            _serving: serving,
        }
    }

    pub(crate) fn relent(&self) {
        self.relents.store(true, SeqCst);
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(SeqCst)
    }
}

/// A proxy that writes down what it is asked, embeds what it is sent, and opens no tunnel.
pub(crate) async fn proxy() -> (JoinSet<()>, Arc<Mutex<Vec<String>>>, String) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let asked = Arc::clone(&seen);
    let app = Router::new().fallback(async move |request: Request| {
        let authorization = request.headers().get("proxy-authorization");
        let authorization = authorization.map_or("", |value| value.to_str().unwrap());
        let (method, uri) = (request.method(), request.uri());
        let line = format!("{method} {uri} {authorization}");
        asked.lock().unwrap().push(line);
        match *method == Method::CONNECT {
            true => StatusCode::FORBIDDEN.into_response(),
            false => embedded(1),
        }
    });
    let (serving, url) = serve(app).await;
    (serving, seen, url.replace("/v1", ""))
}

fn embedded(texts: usize) -> Response {
    let one = json!({"embedding": [1.0]});
    json!({"data": vec![one; texts]})
        .to_string()
        .into_response()
}

async fn serve(app: Router) -> (JoinSet<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (serving, url)
}

/// Which request of a numbered text it is.
fn request(texts: &[Value]) -> usize {
    let first = texts[0].as_str().unwrap().split(' ').next().unwrap();
    first.parse::<usize>().unwrap() / WORDS
}

/// From the first word of a request to that of the next one: 20 passages that begin 60 words apart.
const WORDS: usize = 20 * 60;
