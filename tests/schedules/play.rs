//! Plays a schedule through the layer.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use testing::{PATIENCE, virtual_time};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{Layer, Service};
use tower_together::{
    Limiter, Rejected, TogetherRateLimitLayer,
    extension::{Caller, Cost, Deadline, Model, Paused},
    rate_limit::TogetherRateLimit,
};

use crate::{
    inner::{Asked, Plan, Watched},
    schedule::{Handling, Schedule, Visit, ms, path},
    slots::assert_free,
    story::{Event, Events, POLLS, SLACK, Story},
};

/// Plays it on one thread, in virtual time.
///
/// # Panics
///
/// If a request never ends, if futures or clones are polled too often, if a clone is kept ready while its
/// request waits, or if a slot or a place is not given back.
pub(crate) fn play(schedule: &Schedule) -> Events {
    let all = Stage::play(schedule, true, A_YEAR, A_DAY);
    virtual_time().block_on(all)
}

/// Plays it on several threads, on the real clock.
///
/// # Panics
///
/// As [`play`], but that a clone may be ready.
pub(crate) fn play_on_threads(schedule: &Schedule) {
    let mut threads = Builder::new_multi_thread();
    let runtime = threads.worker_threads(3).enable_time().build().unwrap();
    let all = Stage::play(schedule, false, PATIENCE, Duration::from_millis(10));
    runtime.block_on(all);
}

#[derive(Clone)]
struct Stage {
    schedule: Arc<Schedule>,
    limiter: Limiter,
    service: TogetherRateLimit<Watched>,
    story: Story,
    /// Whether one thread plays it.
    alone: bool,
}

impl Stage {
    async fn play(schedule: &Schedule, alone: bool, patience: Duration, rest: Duration) -> Events {
        let stage = Self::of(schedule, alone);
        let limiter = &stage.limiter;
        let ended = timeout(patience, stage.all()).await;
        assert!(ended.is_ok(), "a request never ends: {limiter:?}");
        assert_free(limiter, schedule, rest).await;
        stage.story.events()
    }

    fn of(schedule: &Schedule, alone: bool) -> Self {
        let story = Story::begin();
        let limiter = schedule.limiter();
        let inner = Watched::new(schedule.inner.service(&story), story.clone());
        Self {
            schedule: Arc::new(schedule.clone()),
            service: TogetherRateLimitLayer::from(limiter.clone()).layer(inner),
            limiter,
            story,
            alone,
        }
    }

    /// Plays all requests and changes of tables to their ends.
    async fn all(&self) {
        let mut tasks = JoinSet::new();
        for n in 0..self.schedule.visits.len() {
            tasks.spawn(self.clone().visit(n));
        }
        tasks.spawn(self.clone().change());
        while let Some(ended) = tasks.join_next().await {
            if let Err(failed) = ended {
                resume_unwind(failed.into_panic());
            }
        }
    }

    async fn change(self) {
        let mut before = 0;
        for (n, (at, table)) in self.schedule.tables.iter().enumerate().skip(1) {
            sleep(ms(at - before)).await;
            before = *at;
            self.story.note(Event::Table(n));
            self.limiter.set_limits(self.schedule.limits(table));
        }
    }

    async fn visit(mut self, n: usize) {
        let schedule = Arc::clone(&self.schedule);
        let visit = &schedule.visits[n];
        sleep(ms(visit.at)).await;
        self.story.note(Event::Came(n));
        let response = self.service.call(request(n, visit));
        let mut response = Waiting::new(response, n, self.story.clone(), self.alone);
        let result = match &visit.fate {
            Handling::Awaited => response.await,
            Handling::Dropped(after) => match timeout(ms(*after), response).await {
                Ok(result) => result,
                Err(_) => return self.story.note(Event::Dropped(n)),
            },
            Handling::Unpolled(pauses) => 'polled: {
                for pause in pauses {
                    if let Poll::Ready(result) = futures::poll!(&mut response) {
                        break 'polled result;
                    }
                    sleep(ms(*pause)).await;
                    self.story.note(Event::Resumed(n));
                }
                response.await
            }
        };
        let Ok(response) = result else {
            return self.story.note(Event::Ended(n, false));
        };
        let (head, body) = response.into_parts();
        if let Some(rejected) = head.extensions.get::<Rejected>() {
            return self.story.note(Event::Rejected(n, rejected.reason()));
        }
        self.story.note(Event::Head(n));
        if let Some(paused) = head.extensions.get::<Paused>() {
            self.story.paused(n, paused.until());
        }
        let body = body.collect();
        let whole = match visit.body_dropped {
            Some(after) => timeout(ms(after), body)
                .await
                .is_ok_and(|body| body.is_ok()),
            None => body.await.is_ok(),
        };
        self.story.note(Event::Ended(n, whole));
    }
}

fn request(n: usize, visit: &Visit) -> Asked {
    let (endpoint, model) = visit.lane;
    let mut request = Request::post(format!("https://api.together.ai{}", path(endpoint)))
        .header("content-type", "application/json")
        .extension(Plan(n, Arc::new(visit.reply.clone())))
        .extension(Caller::new(visit.caller));
    if let Some(tokens) = visit.cost {
        request = request.extension(Cost::of_tokens(tokens));
    }
    if let Some(deadline) = visit.deadline {
        request = request.extension(Deadline::within(ms(deadline)));
    }
    if let Some(model) = model {
        request = request.extension(Model::new(model));
    }
    let body = Bytes::from_static(br#"{"prompt":"Say hello.","max_tokens":50}"#);
    request.body(Full::from(body)).expect("all of it is valid")
}

/// Counts how often a response future is polled while its request waits.
struct Waiting<F> {
    future: Pin<Box<F>>,
    n: usize,
    story: Story,
    /// The number of events when it was made.
    before: usize,
    polls: usize,
    sent: bool,
    alone: bool,
}

impl<F> Waiting<F> {
    fn new(future: F, n: usize, story: Story, alone: bool) -> Self {
        Self {
            future: Box::pin(future),
            n,
            before: story.happened(),
            story,
            polls: 0,
            sent: false,
            alone,
        }
    }

    fn count(&mut self) {
        self.story.polled();
        self.polls += 1;
        let events = self.story.happened() - self.before;
        assert!(
            self.polls <= POLLS * (events + SLACK),
            "{} is polled {} times for {events} events",
            self.n,
            self.polls
        );
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.sent {
            return self.future.as_mut().poll(cx);
        }
        self.count();
        let polled = self.future.as_mut().poll(cx);
        self.sent = self.story.is_called(self.n);
        assert!(
            !self.alone || self.story.ready() == 0,
            "a clone is kept ready while {} waits",
            self.n
        );
        polled
    }
}

/// Nothing in a schedule takes longer.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// No limit of a schedule makes a request that comes alone wait for longer.
const A_DAY: Duration = Duration::from_secs(24 * 3600);
