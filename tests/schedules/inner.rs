//! The services beneath the limiter.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use testing::now;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::{
    BoxError, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, util::BoxCloneService,
};

use crate::{
    schedule::{Inner, Reply, ms},
    second_poll::SecondPoll,
    story::{Event, Story},
};

pub(crate) type Asked = Request<Full<Bytes>>;
pub(crate) type SlowResponse = Response<Slow>;
pub(crate) type Boxed = BoxCloneService<Asked, SlowResponse, BoxError>;

/// A request's number and what the server does with it.
#[derive(Clone)]
pub(crate) struct Plan(pub(crate) usize, pub(crate) Arc<Reply>);

impl Inner {
    pub(crate) fn service(&self, story: &Story) -> Boxed {
        match self {
            Self::Ready => server(),
            Self::SecondPoll => SecondPoll::new(server()).boxed_clone(),
            Self::Limited(max) => ConcurrencyLimit::new(server(), *max).boxed_clone(),
            Self::Buffered(None) => Buffer::new(server(), 1).boxed_clone(),
            Self::Buffered(Some(max)) => {
                Buffer::new(ConcurrencyLimit::new(server(), *max), 1).boxed_clone()
            }
            Self::Flapping(times) => Flapping {
                inner: server(),
                times: times.as_slice().into(),
                start: now(),
                story: story.clone(),
                opens: None,
            }
            .boxed_clone(),
        }
    }
}

fn server() -> Boxed {
    tower::service_fn(|request: Asked| async move {
        let Plan(_, reply) = request.extensions().get().expect("each has one");
        pass(reply.after).await;
        let status = reply.status.ok_or("the connection was reset")?;
        let mut response = Response::builder().status(status);
        for (name, value) in &reply.headers {
            response = response.header(*name, *value);
        }
        let body = Slow {
            data: Some(reply.body.clone().into()),
            end: Box::pin(sleep(ms(reply.body_after))),
            waits: reply.body_after > 0,
            fails: reply.body_fails,
        };
        Ok(response.body(body)?)
    })
    .boxed_clone()
}

async fn pass(time: u64) {
    if time > 0 {
        sleep(ms(time)).await;
    }
}

/// A body that arrives after some time, or fails then.
pub(crate) struct Slow {
    data: Option<Bytes>,
    end: Pin<Box<Sleep>>,
    waits: bool,
    fails: bool,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if std::mem::take(&mut self.waits) && self.end.as_mut().poll(cx).is_pending() {
            self.waits = true;
            return Poll::Pending;
        }
        let data = self.data.take();
        match data {
            Some(_) if self.fails => Poll::Ready(Some(Err("the stream was reset".into()))),
            data => Poll::Ready(data.map(|data| Ok(Frame::data(data)))),
        }
    }
}

/// Ready for some time, and then pending for some time.
struct Flapping {
    inner: Boxed,
    times: Arc<[u64]>,
    start: Instant,
    story: Story,
    opens: Option<Pin<Box<Sleep>>>,
}

impl Clone for Flapping {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            times: Arc::clone(&self.times),
            start: self.start,
            story: self.story.clone(),
            opens: None,
        }
    }
}

impl Flapping {
    /// When it is ready again; `None` if it is.
    fn opens_at(&self) -> Option<Instant> {
        let all: u64 = self.times.iter().sum();
        let since = now().saturating_duration_since(self.start);
        let mut left = (since.as_millis() % u128::from(all)) as u64;
        for (n, time) in self.times.iter().enumerate() {
            if left < *time {
                let opens = since + ms(time - left);
                return (n % 2 == 1).then(|| self.start + opens);
            }
            left -= time;
        }
        unreachable!("the times are a circle")
    }
}

impl Service<Asked> for Flapping {
    type Response = SlowResponse;
    type Error = BoxError;
    type Future = <Boxed as Service<Asked>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            if let Some(opens) = &mut self.opens {
                ready!(opens.as_mut().poll(cx));
                self.opens = None;
                self.story.note(Event::Opened);
            }
            match self.opens_at() {
                Some(at) => self.opens = Some(Box::pin(sleep_until(at))),
                None => return self.inner.poll_ready(cx),
            }
        }
    }

    fn call(&mut self, request: Asked) -> Self::Future {
        self.inner.call(request)
    }
}

/// Counts the polls of the service, and records when it is called.
pub(crate) struct Watched {
    inner: Boxed,
    story: Story,
    ready: bool,
}

impl Watched {
    pub(crate) fn new(inner: Boxed, story: Story) -> Self {
        Self {
            inner,
            story,
            ready: false,
        }
    }

    fn is_ready_no_more(&mut self) {
        if std::mem::take(&mut self.ready) {
            self.story.is_ready_no_more();
        }
    }
}

impl Clone for Watched {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.story.clone())
    }
}

impl Service<Asked> for Watched {
    type Response = SlowResponse;
    type Error = BoxError;
    type Future = <Boxed as Service<Asked>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.story.polled();
        let polled = self.inner.poll_ready(cx);
        if polled.is_pending() {
            self.story.is_pending();
        }
        ready!(polled)?;
        if !std::mem::replace(&mut self.ready, true) {
            self.story.became_ready();
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Asked) -> Self::Future {
        assert!(self.ready, "called before it was ready");
        self.is_ready_no_more();
        let Plan(n, _) = *request.extensions().get::<Plan>().expect("each has one");
        self.story.note(Event::Called(n));
        self.inner.call(request)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.is_ready_no_more();
    }
}
