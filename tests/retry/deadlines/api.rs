//! A server behind a client that is not always ready, whose responses take time.

use std::{
    convert::Infallible,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream, stream::BoxStream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::Service;

type Dribble = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A server behind a client that is sometimes not ready.
#[derive(Clone)]
pub(super) struct Api {
    start: Instant,
    /// The periods in which the client is not ready, in milliseconds since the start.
    busy: Arc<[Range<u64>]>,
    replies: Arc<Mutex<Vec<Reply>>>,
    /// The departure of each attempt, in milliseconds since the start.
    sent: Arc<Mutex<Vec<u64>>>,
}

/// The response to one attempt: a head after `takes` milliseconds, and the parts of a body, `apart` milliseconds from
/// each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    status: u16,
    pub(super) takes: u64,
    parts: u64,
    apart: u64,
}

pub(super) fn reply(status: u16) -> Reply {
    Reply {
        status,
        takes: 0,
        parts: 0,
        apart: 0,
    }
}

impl Reply {
    pub(super) fn takes(self, takes: u64) -> Self {
        Self { takes, ..self }
    }

    pub(super) fn dribbles(self, parts: u64, apart: u64) -> Self {
        Self {
            parts,
            apart,
            ..self
        }
    }
}

impl Api {
    /// Gives these replies in order, and then successes.
    pub(super) fn new(replies: &[Reply], busy: &[Range<u64>]) -> Self {
        Self {
            start: Instant::now(),
            busy: busy.into(),
            replies: Arc::new(Mutex::new(replies.iter().rev().copied().collect())),
            sent: Arc::default(),
        }
    }

    pub(super) fn client(&self) -> Client {
        Client {
            api: self.clone(),
            sleep: None,
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    pub(super) fn sent(&self) -> Vec<u64> {
        self.sent.lock().unwrap().clone()
    }
}

pub(super) struct Client {
    api: Api,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        self.api.client()
    }
}

impl Service<Request<Full<Bytes>>> for Client {
    type Response = Response<Dribble>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Dribble>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        loop {
            let now = self.api.now();
            let Some(busy) = self.api.busy.iter().find(|busy| busy.contains(&now)) else {
                return Poll::Ready(Ok(()));
            };
            let free = self.api.start + Duration::from_millis(busy.end);
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(sleep_until(free)));
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let now = self.api.now();
        self.api.sent.lock().unwrap().push(now);
        let next = self.api.replies.lock().unwrap().pop();
        let reply = next.unwrap_or(reply(200));
        Box::pin(async move {
            sleep(Duration::from_millis(reply.takes)).await;
            let parts = stream::iter(0..reply.parts).then(move |_| async move {
                sleep(Duration::from_millis(reply.apart)).await;
                Ok(Frame::data(Bytes::from_static(b" ")))
            });
            let mut response = Response::new(StreamBody::new(parts.boxed()));
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
            Ok(response)
        })
    }
}
