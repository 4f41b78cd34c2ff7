//! A client that sends one request after the other, and gives up now and then.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

pub(super) struct Client<S> {
    service: S,
    url: String,
    random: Rng,
}

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    B: Body + Unpin,
{
    pub(super) fn new(number: u32, service: S, address: SocketAddr) -> Self {
        Self {
            service,
            url: format!("http://{address}/v1/chat/completions"),
            random: Rng::with_seed(number.into()),
        }
    }

    /// Sends until it is over. Counts the requests of all clients.
    pub(super) async fn run(mut self, over: Rc<Cell<bool>>, requests: Rc<Cell<u64>>) {
        while !over.get() {
            let number = requests.replace(requests.get() + 1);
            let patience = match self.random.u8(..10) {
                0 => Duration::from_millis(self.random.u64(..20)),
                _ => Duration::from_secs(10),
            };
            // A request that fails, or that is given up, is as good as one that succeeds.
            if timeout(patience, self.send(number)).await != Ok(Some(())) {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn send(&mut self, number: u64) -> Option<()> {
        // Keys come and go.
        let key = number / 20 + self.random.u64(..20);
        let body = format!(r#"{{"model":"m{}","max_tokens":99}}"#, self.random.u8(..6));
        let request = Request::post(&self.url).header(AUTHORIZATION, format!("Bearer {key}"));
        let request = request.body(Full::from(body)).ok()?;
        let response = self.service.clone().oneshot(request).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let mut body = response.into_body();
        // Some bodies are dropped before their end.
        let mut frames = self.random.u8(..20);
        while let Some(frame) = body.frame().await {
            frame.ok()?;
            frames = frames.checked_sub(1)?;
        }
        Some(())
    }
}
