//! The upstream server: it records every request, and responds as scripted.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use crate::words::{Fail, Outgoing, asked, said, streamed, whole};

#[derive(Clone, Default)]
pub(crate) struct Upstream(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    arrivals: Vec<Arrival>,
}

/// A request that arrived.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    /// Its text, once it is complete.
    pub(crate) text: String,
    /// The instant at which it was told to fail.
    pub(crate) failed: Option<Instant>,
}

/// The response to one request.
pub(crate) enum Step {
    /// The request's number, at once.
    Say,
    /// This failure, when the request is complete.
    Fail(Fail),
    /// This failure, before the request is complete.
    FailEarly(Fail),
    /// The request's number, when the channel says so.
    Hold(oneshot::Receiver<()>),
    /// Pieces, each when the channel gives it.
    Stream(mpsc::UnboundedReceiver<String>),
}

impl Upstream {
    /// Sets the response to the next request that has none yet.
    pub(crate) fn next(&self, step: Step) {
        self.0.lock().unwrap().script.push_back(step);
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.0.lock().unwrap().arrivals.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().arrivals.len()
    }

    /// Records a request, and returns its number and its response.
    pub(crate) fn arrived(&self, headers: HeaderMap) -> (usize, Step) {
        let mut state = self.0.lock().unwrap();
        state.arrivals.push(Arrival {
            at: Instant::now(),
            headers,
            text: String::new(),
            failed: None,
        });
        let step = state.script.pop_front().unwrap_or(Step::Say);
        (state.arrivals.len() - 1, step)
    }

    /// Whether the next request should fail.
    pub(crate) fn fails(&self) -> bool {
        let state = self.0.lock().unwrap();
        matches!(
            state.script.front(),
            Some(Step::Fail(_) | Step::FailEarly(_))
        )
    }

    pub(crate) fn read(&self, number: usize, text: &str) {
        self.0.lock().unwrap().arrivals[number].text.push_str(text);
    }

    pub(crate) fn failed(&self, number: usize) {
        let now = Some(Instant::now());
        self.0.lock().unwrap().arrivals[number].failed = now;
    }

    /// The handler of an HTTP server.
    pub(crate) async fn respond<B>(self, request: Request<B>) -> Response<Outgoing>
    where
        B: Body<Data = Bytes>,
        B::Error: Debug,
    {
        let (head, body) = request.into_parts();
        let (number, step) = self.arrived(head.headers.clone());
        if !matches!(step, Step::FailEarly(_)) {
            let body = body.collect().await.unwrap().to_bytes();
            self.read(number, &asked(&head.headers, &body));
        }
        match step {
            Step::Say => whole(said(number)),
            Step::Fail(fail) | Step::FailEarly(fail) => {
                self.failed(number);
                fail.http()
            }
            Step::Hold(go) => {
                let _ = go.await;
                whole(said(number))
            }
            Step::Stream(pieces) => streamed(pieces),
        }
    }
}

impl Step {
    /// A held response, and the sender that releases it.
    pub(crate) fn hold() -> (oneshot::Sender<()>, Self) {
        let (go, held) = oneshot::channel();
        (go, Self::Hold(held))
    }

    /// A streamed response, and the sender of its pieces.
    pub(crate) fn stream() -> (mpsc::UnboundedSender<String>, Self) {
        let (give, pieces) = mpsc::unbounded_channel();
        (give, Self::Stream(pieces))
    }
}
