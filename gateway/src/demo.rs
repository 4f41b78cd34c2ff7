//! Made-up programs, which send traffic for the demo.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, header::AUTHORIZATION};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::{Value, json};
use together_standin::Answer;
use tokio::time::{sleep, timeout};

use crate::gateway::Gateway;

/// One made-up program. Each of its workers makes a call, reads the response, and rests.
#[derive(Clone, Copy)]
struct DemoProgram {
    /// Its credential, which the gateway does not pass on.
    name: &'static str,
    path: &'static str,
    model: &'static str,
    workers: u32,
    /// The longest rest; rests differ in length.
    rest: Duration,
    /// How long it waits for a response before it hangs up.
    patience: Duration,
}

/// Starts all programs, and makes the stand-in fail some calls.
pub(crate) fn start(address: SocketAddr, gateway: Arc<Gateway>) {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http();
    for program in PROGRAMS {
        for _ in 0..program.workers {
            tokio::spawn(program.work(address, client.clone()));
        }
    }
    tokio::spawn(async move {
        loop {
            sleep(BETWEEN_REJECTIONS).await;
            if let Some(stand_in) = gateway.target.stand_in() {
                let rejection = Answer::status(429).header("retry-after", 3);
                let body =
                    json!({"error": {"message": "Rate limit reached", "type": "rate_limit"}});
                stand_in.script("POST", "/embeddings", rejection.body(body.to_string()));
            }
        }
    });
}

impl DemoProgram {
    async fn work(self, address: SocketAddr, client: Client<HttpConnector, Body>) {
        loop {
            sleep(self.rest.mul_f64(fastrand::f64())).await;
            // The result is ignored: the page shows it.
            let _ = timeout(self.patience, self.call(address, &client)).await;
        }
    }

    async fn call(self, address: SocketAddr, client: &Client<HttpConnector, Body>) -> Option<()> {
        let request = Request::post(format!("http://{address}/v1{}", self.path))
            .header(AUTHORIZATION, format!("Bearer {}", self.name))
            .header("content-type", "application/json")
            .header("x-stainless-timeout", self.patience.as_secs())
            .body(self.body().to_string().into());
        let mut response = client.request(request.ok()?).await.ok()?;
        while let Some(Ok(_)) = response.frame().await {}
        Some(())
    }

    fn body(self) -> Value {
        match self.path {
            CHAT => json!({
                "model": self.model,
                "stream": true,
                "messages": [{"role": "user", "content": "Who speaks?"}],
            }),
            EMBEDDINGS => json!({"model": self.model, "input": ["a passage", "another"]}),
            _ => json!({"model": self.model, "prompt": "a gate"}),
        }
    }
}

const CHAT: &str = "/chat/completions";
const EMBEDDINGS: &str = "/embeddings";
const IMAGES: &str = "/images/generations";

/// Together they ask for somewhat more than the limits allow.
const PROGRAMS: [DemoProgram; 5] = [
    DemoProgram {
        name: "chat-room",
        path: CHAT,
        model: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        workers: 6,
        rest: Duration::from_secs(3),
        patience: Duration::from_secs(60),
    },
    DemoProgram {
        name: "nightly-eval",
        path: CHAT,
        model: "Qwen/Qwen2.5-72B-Instruct-Turbo",
        workers: 14,
        rest: Duration::from_secs(14),
        patience: Duration::from_secs(30),
    },
    DemoProgram {
        name: "indexer",
        path: EMBEDDINGS,
        model: "intfloat/multilingual-e5-large-instruct",
        workers: 18,
        rest: Duration::from_millis(600),
        patience: Duration::from_secs(60),
    },
    DemoProgram {
        name: "search-box",
        path: EMBEDDINGS,
        model: "intfloat/multilingual-e5-large-instruct",
        workers: 2,
        rest: Duration::from_secs(4),
        patience: Duration::from_secs(2),
    },
    DemoProgram {
        name: "illustrator",
        path: IMAGES,
        model: "black-forest-labs/FLUX.1-schnell",
        workers: 5,
        rest: Duration::from_secs(12),
        patience: Duration::from_secs(4),
    },
];
const BETWEEN_REJECTIONS: Duration = Duration::from_secs(50);
