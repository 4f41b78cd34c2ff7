//! A server of embeddings that knows requests by their texts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, response::IntoResponse};
use bytes::Bytes;
use http::StatusCode;
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
                let one = json!({"embedding": [1.0]});
                return json!({"data": vec![one; texts.len()]})
                    .to_string()
                    .into_response();
            }
            count.fetch_add(1, SeqCst);
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "100")]).into_response()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
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

/// Which request of a numbered text it is.
fn request(texts: &[Value]) -> usize {
    let first = texts[0].as_str().unwrap().split(' ').next().unwrap();
    first.parse::<usize>().unwrap() / WORDS
}

/// From the first word of a request to that of the next one: 20 passages that begin 60 words apart.
const WORDS: usize = 20 * 60;
