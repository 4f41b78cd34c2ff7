//! The state of one request across models, and the step that follows from each response.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH, response};
use http_body::Body;
use tokio::time::Instant;

use super::settings::{Chained, FallbackSettings};
use crate::{
    body::{Bound, Original, Peek, RequestBody},
    clock, observe,
    resend::{Step, StepOf, Strategy},
    wire,
    words::{
        ApiError, Reason, Rejected,
        extension::{Deadline, Model, PassedOver, Patience, Paused, Retries, RetryReport, Served},
    },
};

/// The original request, and the models tried so far.
pub(super) struct FallbackSession<A> {
    settings: Arc<FallbackSettings>,
    original: Original<A>,
    chained: Chained,
    model: Arc<str>,
    before: Vec<(Arc<str>, PassedOver)>,
    /// The caller's deadline.
    deadline: Option<Instant>,
    retries: Retries,
    /// Number of times the request has been sent.
    sent: u32,
}

/// A response to be discarded, and the request for the next model.
pub(super) struct Drain<B, R: Body> {
    body: Peek<R>,
    request: Request<B>,
}

impl<B, R, E> Strategy<B, R, E> for FallbackSession<B::Again>
where
    B: RequestBody + From<Bytes>,
    R: Body<Data = Bytes>,
{
    type Settings = Arc<FallbackSettings>;
    type Read = Drain<B, R>;
    type Body = R;

    fn begin(
        session: &mut Option<Self>,
        request: &mut Option<Request<B>>,
        settings: Arc<FallbackSettings>,
    ) {
        let now = clock::now();
        let Some(asked) = request else { return };
        let Some(chained) = settings.chain(asked) else {
            return;
        };
        let deadline = wire::request::deadline(asked.extensions(), asked.headers(), now);
        let retries = asked.extensions().get::<Retries>().copied();
        let original = Original::keep(request, &settings.memory);
        let replayable = original.filter(|original| original.again::<B>().is_some());
        let (Some(original), Some(asked)) = (replayable, request) else {
            return;
        };
        let begun = session.insert(Self {
            original,
            model: Arc::clone(chained.places.model()),
            before: Vec::new(),
            deadline,
            retries: retries.unwrap_or_default(),
            sent: 0,
            chained,
            settings,
        });
        asked.extensions_mut().insert(begun.patience());
    }

    fn untouched(response: Response<R>) -> Response<R> {
        response
    }

    fn responded(&mut self, response: Response<R>) -> StepOf<Self, B, R, E> {
        let (mut head, body) = response.into_parts();
        let now = clock::now();
        if let Some(request) = self.next(&head, now) {
            let body = Peek::new(body, self.drain(now));
            return Step::Read(Box::new(Drain { body, request }));
        }
        if let Some(served) = self.served() {
            head.extensions.insert(served);
        }
        Step::Return(Ok(Response::from_parts(head, body)))
    }

    // An error says nothing about the model: another model uses the same connection.
    fn failed(&mut self, error: E) -> StepOf<Self, B, R, E> {
        Step::Return(Err(error))
    }

    fn poll_read(drain: &mut Drain<B, R>, cx: &mut Context<'_>) -> Poll<()> {
        drain.body.poll_drain(cx)
    }

    fn read(&mut self, drain: Box<Drain<B, R>>) -> StepOf<Self, B, R, E> {
        // The response is dropped before the next model is tried, so that its connection and its slots in the
        // limiter are free.
        Step::Send(Box::new(drain.request), None)
    }
}

impl<A> FallbackSession<A> {
    /// The request for the next model; `None` if this response is returned.
    fn next<B>(&mut self, head: &response::Parts, now: Instant) -> Option<Request<B>>
    where
        B: RequestBody<Again = A> + From<Bytes>,
    {
        let why = self.verdict(head, now)?;
        self.sent = self.sent.saturating_add(sent(head));
        let may = self.retries.limit().is_none_or(|most| self.sent <= most);
        let in_time = self.deadline.is_none_or(|deadline| now < deadline);
        let next = self.chained.others.get(self.before.len())?;
        if !may || !in_time {
            return None;
        }
        let request = self.renamed(next)?;
        let before = mem::replace(&mut self.model, Arc::clone(next));
        let request_of = (self.chained.endpoint, self.sent);
        observe::fell_back(request_of, [&before, next], why, &self.settings.repeats);
        self.before.push((before, why));
        Some(request)
    }

    /// The bound for discarding a response.
    fn drain(&self, now: Instant) -> Bound {
        Bound::DRAIN.half_until(self.deadline, now)
    }

    /// The report for the response, if the serving model is not the requested one.
    fn served(&mut self) -> Option<Served> {
        let before = mem::take(&mut self.before);
        (!before.is_empty()).then(|| Served::new(Arc::clone(&self.model), before))
    }

    /// The reason to pass over the model after this response, if there is one.
    fn verdict(&self, head: &response::Parts, now: Instant) -> Option<PassedOver> {
        if let Some(rejected) = head.extensions.get::<Rejected>() {
            return match rejected.reason() {
                Reason::Deadline | Reason::MaxWait => Some(PassedOver::LongWait),
                // A limit of this model need not apply to another.
                Reason::NeverFits => Some(PassedOver::NeverFits),
                // All other reasons apply to every model.
                _ => None,
            };
        }
        let error = head.extensions.get::<ApiError>();
        let status = error.map_or(head.status, ApiError::status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Some(PassedOver::Overloaded);
        }
        // No layer beneath has waited for it.
        let until = head.extensions.get::<Paused>()?.not_before();
        let wait = until.saturating_duration_since(now);
        let too_long = self.settings.max_wait.is_some_and(|most| wait > most)
            || self.deadline.is_some_and(|deadline| until >= deadline);
        too_long.then_some(PassedOver::LongWait)
    }

    /// The original request, with another model.
    fn renamed<B>(&self, model: &Arc<str>) -> Option<Request<B>>
    where
        B: RequestBody<Again = A> + From<Bytes>,
    {
        let (mut head, mut body) = self.original.again::<B>()?.into_parts();
        let body = body.peek(|body| self.chained.places.rename(body, model))?;
        if let Some(length) = head.headers.get_mut(CONTENT_LENGTH) {
            *length = body.len().into();
        }
        let said = &mut head.extensions;
        if let Some(named) = said.get_mut::<Model>() {
            *named = Model::new(Arc::clone(model));
        }
        if let Some(deadline) = self.deadline {
            // The deadline includes the time that has passed since the first model was tried.
            said.insert(Deadline::at(deadline));
        }
        if let Some(retries) = said.get_mut::<Retries>() {
            *retries = retries.after(self.sent);
        }
        if self.before.len() + 1 < self.chained.others.len() {
            said.insert(self.patience());
        }
        Some(Request::from_parts(head, Bytes::from(body).into()))
    }

    fn patience(&self) -> Patience {
        Patience {
            overloads: self.settings.max_503s,
            wait: self.settings.max_wait,
        }
    }
}

/// Number of times the request was sent before this response.
fn sent(head: &response::Parts) -> u32 {
    match head.extensions.get::<RetryReport>() {
        Some(report) => report.attempts(),
        // A request that the limiter rejects has not been sent.
        None => u32::from(head.extensions.get::<Rejected>().is_none()),
    }
}
