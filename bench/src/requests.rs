//! The requests that every row sends.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header::AUTHORIZATION};

/// Prepared `authorization` headers, in random order.
///
/// The headers have no reference counts, like the bodies: threads that count references to one thing slow each other
/// down, the no-op most of all.
pub(crate) type Keys = Arc<[HeaderValue]>;

/// Makes the requests of one thread, cycling through its keys.
///
/// It is aligned so that no two threads write to one cache line, or to a pair of lines that is fetched together.
#[derive(Clone)]
#[repr(align(128))]
pub(crate) struct Requests<B> {
    uri: Uri,
    keys: Keys,
    next: usize,
    body: B,
}

impl<B: Clone> Requests<B> {
    pub(crate) fn new(keys: &Keys, body: &B) -> Self {
        let uri = Uri::from_static("https://api.together.ai/v1/chat/completions");
        Self::to(uri, keys, body)
    }

    pub(crate) fn to(uri: Uri, keys: &Keys, body: &B) -> Self {
        Self {
            uri,
            keys: Arc::clone(keys),
            next: 0,
            body: body.clone(),
        }
    }

    pub(crate) fn make(&mut self) -> Request<B> {
        let key = &self.keys[self.next];
        self.next = (self.next + 1) % self.keys.len();
        // Reads the header, as if it had just been written.
        black_box(
            key.as_bytes()
                .iter()
                .step_by(CACHE_LINE - 1)
                .fold(0, |all, byte| all ^ byte),
        );
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(AUTHORIZATION, key.clone());
        request
    }
}

/// The same keys for two threads, in two orders.
pub(crate) fn keys(count: usize) -> [Keys; 2] {
    let mut random = fastrand::Rng::with_seed(0);
    let mut keys: Vec<_> = (0..count)
        .map(|_| {
            let secret: String = (0..57).map(|_| random.alphanumeric()).collect();
            HeaderValue::from_static(format!("Bearer {secret}").leak())
        })
        .collect();
    [(); 2].map(|()| {
        random.shuffle(&mut keys);
        Keys::from(keys.as_slice())
    })
}

/// A body of 1 KiB with its model as the first or the last member.
pub(crate) fn json(model_first: bool) -> Bytes {
    let model = r#""model":"meta-llama/Llama-3.3-70B-Instruct-Turbo""#;
    let messages = |text: &str| {
        format!(r#""temperature":0.7,"messages":[{{"role":"user","content":"{text}"}}]"#)
    };
    let filler = KIB - model.len() - messages("").len() - r#"{,}"#.len();
    let messages = messages(&"lorem ipsum ".repeat(KIB)[..filler]);
    let body = if model_first {
        format!("{{{model},{messages}}}")
    } else {
        format!("{{{messages},{model}}}")
    };
    assert_eq!(body.len(), KIB);
    Bytes::from_static(body.leak().as_bytes())
}

const KIB: usize = 1024;
const CACHE_LINE: usize = 64;
