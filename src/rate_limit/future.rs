use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode, response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    ResponseBody, answer,
    jobs::Job,
    read,
    tokens::{self, Tokenizer},
    watch::{Reader, Readers},
};
use crate::{
    adapter::relay,
    body::{Bound, Peek, RequestBody, Whole, refusal},
    clock,
    limiter::{Inner, Lost, Permit, Slot, Turn},
    observe,
    wire::{
        self,
        response::{InBandReader, JobsReader, UsageReader},
    },
    words::{
        ApiError, Charge, Each, Endpoint, JobKind, Report,
        extension::{LetGo, QueueGauge, Stand},
    },
};

pin_project_lite::pin_project! {
    /// The response to a request. It waits for the request's turn, then for the response. If that is an error or a
    /// created job, it also waits for the beginning of the body.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, nothing is charged and the next request moves up. If it is dropped after the
    /// inner service was called, the in-flight slot is released, and the charge to the rate stands.
    ///
    /// # Panics
    ///
    /// If it has to wait and is polled outside a Tokio runtime with its timer enabled, or if it is polled after
    /// completion.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        bound: Bound,
        #[pin]
        state: State<S, B, S::Future, R>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R>
    where
        R: Body,
    {
        Waiting {
            inner: S,
            request: Option<Request<B>>,
            // `None`: the layer does not limit this request.
            turn: Option<Wanted>,
            stand: Option<Stand>,
        },
        Calling {
            #[pin]
            answer: F,
            left: Option<Left>,
        },
        Reading { read: Option<Box<Reading<R>>> },
        Done,
    }
}

/// A request that has been sent.
struct Left {
    permit: Permit,
    /// The rates for which the permit reports a response. A call that is dropped has none.
    witness: Each<bool>,
    endpoint: Endpoint,
    /// The instant until which the response's body may be read. Boxed, since it is rare and `Left` is often moved.
    deadline: Option<Box<Instant>>,
    job: Option<Box<Job>>,
}

/// A request that waits for its turn.
pub(super) struct Wanted {
    turn: Turn,
    endpoint: Endpoint,
    /// Counts the request's tokens.
    tokenizer: Option<Tokenizer>,
    /// The caller's deadline, computed at the first poll.
    deadline: Option<Instant>,
}

/// A response whose body is being read: an error, a created job, or the first frame of a success.
struct Reading<R: Body> {
    head: response::Parts,
    body: Peek<R>,
    /// Maximum bytes that are read.
    most: usize,
    wait: Option<Duration>,
    left: Left,
    since: Instant,
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    pub(super) fn limited(inner: S, request: Request<B>, turn: Wanted, bound: Bound) -> Self {
        Self::waiting(inner, request, Some(turn), bound)
    }

    pub(super) fn untouched(inner: S, request: Request<B>, bound: Bound) -> Self {
        Self::waiting(inner, request, None, bound)
    }

    fn waiting(inner: S, request: Request<B>, turn: Option<Wanted>, bound: Bound) -> Self {
        Self {
            bound,
            state: State::Waiting {
                inner,
                request: Some(request),
                turn,
                stand: None,
            },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut state = this.state;
        loop {
            match state.as_mut().project() {
                // Goes to Calling once it is the request's turn and the service is ready. Goes to Done if the
                // limiter rejects the request, or if the service fails.
                StateProj::Waiting {
                    inner,
                    request,
                    turn,
                    stand,
                } => {
                    let taken = request.as_mut().expect("taken only when called");
                    let permit = match poll_turn(inner, taken, turn, cx) {
                        Poll::Pending => {
                            if stand.is_none() {
                                *stand = taken.extensions().get().map(QueueGauge::enter);
                            }
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(permit)) => permit,
                        Poll::Ready(Err(lost)) => {
                            let answer = match lost {
                                Lost::Inner(error) => Err(error),
                                Lost::Rejected(rejected) => {
                                    observe::refused(&rejected);
                                    Ok(refusal(rejected, taken.headers()).map(ResponseBody::of))
                                }
                            };
                            state.set(State::Done);
                            return Poll::Ready(answer);
                        }
                    };
                    // Charged and called in the same poll, so that the limiter counts exactly what is sent.
                    let left = permit.map(|(mut permit, endpoint, deadline)| Left {
                        witness: permit.take_witness(),
                        permit,
                        endpoint,
                        deadline: deadline.map(Box::new),
                        job: Job::of(taken, endpoint),
                    });
                    let request = request.take().expect("taken only when called");
                    let answer = inner.call(request);
                    state.set(State::Calling { answer, left });
                }
                // Goes to Reading once the response has come, if the beginning of its body may be an error or
                // name a job. Goes to Done with any other response, and with an error of the service.
                StateProj::Calling { answer, left } => {
                    let answer = match ready!(answer.poll(cx)) {
                        Ok(answer) => Answered::of(answer, left.take(), *this.bound),
                        Err(error) => {
                            if let Some(left) = left.take() {
                                left.failed();
                            }
                            state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                    };
                    match answer {
                        Answered::ToRead(read) => {
                            let read = Some(read);
                            state.set(State::Reading { read });
                        }
                        Answered::Done(answer) => {
                            state.set(State::Done);
                            return Poll::Ready(Ok(answer));
                        }
                    }
                }
                // Goes to Done once enough of the body is read, or its time is up.
                StateProj::Reading { read } => {
                    let reading = read.as_mut().expect("taken only when read");
                    ready!(reading.body.poll_read(cx));
                    let read = read.take().expect("taken only when read");
                    state.set(State::Done);
                    return Poll::Ready(Ok(read.finish()));
                }
                StateProj::Done => panic!("polled after it was ready"),
            }
        }
    }
}

impl Wanted {
    pub(super) fn new(turn: Turn, endpoint: Endpoint, tokenizer: Option<Tokenizer>) -> Self {
        Self {
            turn,
            endpoint,
            tokenizer,
            deadline: None,
        }
    }
}

/// The permit, the endpoint, and the instant until which the response's body may be read.
type Admitted = Option<(Permit, Endpoint, Option<Instant>)>;

fn poll_turn<S, B>(
    inner: &mut S,
    request: &mut Request<B>,
    wanted: &mut Option<Wanted>,
    cx: &mut Context<'_>,
) -> Poll<Result<Admitted, Lost<S::Error>>>
where
    S: Service<Request<B>> + Clone,
    B: RequestBody,
{
    let Some(wanted) = wanted else {
        return inner.poll_ready(cx).map_ok(|()| None).map_err(Lost::Inner);
    };
    let (turn, endpoint) = (&mut wanted.turn, wanted.endpoint);
    let tokenizer = wanted.tokenizer.as_ref();
    let mut inner = Behind {
        service: inner,
        request: &mut *request,
    };
    let polled = if turn.is_queued() {
        if turn.is_uncounted(endpoint) {
            let call = read::call(inner.request, endpoint, false);
            turn.count(tokens::charge(inner.request, &call, tokenizer));
        }
        ready!(turn.wait(&mut inner, cx))
    } else {
        let estimates = tokenizer.is_none() && turn.may_count_tokens(endpoint);
        let mut call = read::call(inner.request, endpoint, estimates);
        let deadline = call.deadline;
        wanted.deadline = deadline.and_then(|deadline| deadline.counted_from(clock::now()));
        read::hurry(&mut call, inner.request);
        if call.charge == Charge::NOTHING && turn.counts_tokens(&call) {
            call.charge = tokens::charge(inner.request, &call, tokenizer);
        }
        let polled = turn.arrive(&call, &mut inner, cx);
        if polled.is_pending() && JobKind::of(endpoint).is_some() {
            if let Some(is_watched) = turn.awaits_job() {
                observe::awaits_job(endpoint, is_watched);
            }
        }
        ready!(polled)
    };
    if polled.as_ref().is_ok_and(Permit::marks) {
        mark(request.extensions_mut());
    }
    Poll::Ready(polled.map(|permit| Some((permit, endpoint, wanted.deadline))))
}

enum Answered<R: Body> {
    Done(Response<ResponseBody<R>>),
    ToRead(Box<Reading<R>>),
}

impl<R: Body<Data = Bytes>> Answered<R> {
    fn of(answer: Response<R>, left: Option<Left>, bound: Bound) -> Self {
        let Some(mut left) = left else {
            return Self::Done(answer.map(|body| ResponseBody::of(Whole::inner(body))));
        };
        left.permit.has_response(mem::take(&mut left.witness));
        let (mut head, body) = answer.into_parts();
        answer::waited(&mut head, &left.permit);
        if answer::is_error(&head) || left.created_job(&head) {
            let since = clock::now();
            let bound =
                answer::bounded(&head, bound).until(left.deadline.as_deref().copied(), since);
            return Self::ToRead(Box::new(Reading {
                body: Peek::new(body, bound),
                most: bound.bytes,
                wait: answer::wait(&head),
                head,
                left,
                since,
            }));
        }
        let endpoint = left.endpoint;
        let body = match Peek::first_frame(endpoint, &head, body, Duration::ZERO) {
            Ok(body) => {
                return Self::ToRead(Box::new(Reading {
                    body,
                    most: Bound::ERROR.bytes,
                    wait: None,
                    head,
                    left,
                    since: clock::now(),
                }));
            }
            Err(body) => body,
        };
        let told = left.answered(&mut head);
        if head.status == StatusCode::SWITCHING_PROTOCOLS && left.permit.holds_slot() {
            head.extensions.insert(Slot::new(left.permit));
            return Self::Done(Response::from_parts(
                head,
                ResponseBody::of(Whole::inner(body)),
            ));
        }
        let readers = Readers {
            told,
            in_band: None,
        };
        let body = ResponseBody::holding(Whole::inner(body), left.permit, readers);
        Self::Done(Response::from_parts(head, body))
    }
}

impl<R: Body<Data = Bytes>> Reading<R> {
    fn finish(mut self) -> Response<ResponseBody<R>> {
        if let Some(reader) = self.body.take_reader() {
            return self.success(&reader);
        }
        let bytes = self.body.bytes(self.most);
        if answer::is_error(&self.head) {
            answer::name(&mut self.head, self.wait, &bytes, &self.left.permit);
        }
        let mut head = self.head;
        // The server's wait counts from the arrival of its response.
        let late = clock::now().saturating_duration_since(self.since);
        let mut report = answer::report(&head, &bytes, self.left.endpoint);
        // The rest of the body may still name the job.
        let is_unnamed =
            mem::take(&mut report.jobs.unnamed) || bytes.is_empty() && self.left.created_job(&head);
        self.left.tell(&mut head, report.read_after(late));
        let (body, permit) = (Whole::peeked(self.body), self.left.permit);
        let body = match is_unnamed {
            true => ResponseBody::for_job(body, permit),
            false => ResponseBody::holding(body, permit, Readers::default()),
        };
        Response::from_parts(head, body)
    }

    /// A success, with the part of its body that arrived with the head.
    fn success(mut self, first: &InBandReader) -> Response<ResponseBody<R>> {
        let (endpoint, mut head) = (self.left.endpoint, self.head);
        let error = first.found(&head.headers, || answer::wait(&head));
        // The body's own reader reads from the beginning again, for an error that comes later.
        let is_over = first.is_over() || self.body.is_whole() || error.is_some();
        let reader = || InBandReader::of(endpoint, head.status, &head.headers);
        let in_band = (!is_over).then(reader).flatten();
        if let Some(error) = error {
            answer::insert(&mut head, error, &self.left.permit);
        }
        let told = self.left.answered(&mut head);
        let readers = Readers { told, in_band };
        let body = ResponseBody::holding(Whole::peeked(self.body), self.left.permit, readers);
        Response::from_parts(head, body)
    }
}

impl Left {
    /// Handles an error of the service, which may mean that the request was throttled.
    fn failed(self) {
        self.permit.failed();
        let (throttled, endpoint) = (self.permit.to_be_throttled(), self.endpoint);
        relay::leave(move || {
            observe::throttled(endpoint);
            throttled();
        });
    }

    /// Whether a created job must be read at once, since its caller may not read the response.
    fn created_job(&self, head: &response::Parts) -> bool {
        let creates = self.job.is_some() && self.endpoint.creates();
        creates && head.status.is_success() && self.permit.holds_job_slot()
    }

    /// Reports the response's head. Returns a reader for the body, if the body may contain more.
    fn answered(&mut self, head: &mut response::Parts) -> Option<Reader> {
        let failed = head.extensions.get::<ApiError>().is_some();
        let is_silent =
            head.status.is_success() && !failed && !wire::response::speaks(&head.headers);
        if !is_silent || self.job.is_some() || self.permit.is_witness() {
            let report = answer::report(head, &[], self.endpoint);
            self.tell(head, report);
        }
        self.reader(head)
    }

    /// Reports the parts of the response read so far.
    fn tell(&mut self, head: &mut response::Parts, mut report: Report) {
        if let Some(id) = self.job.as_ref().and_then(|job| job.id.as_deref()) {
            report = report.about_job(id);
        }
        if !self.permit.counts_tokens() {
            report.tokens = None;
        }
        answer::tell(head, &mut self.permit, self.endpoint, &report);
        if self.job.as_ref().is_some_and(|job| job.asks) {
            if let Some(book) = self.permit.job_book() {
                head.extensions.insert(book);
            }
        }
    }

    fn reader(&self, head: &response::Parts) -> Option<Reader> {
        let (permit, headers) = (&self.permit, &head.headers);
        let reads_jobs = self.job.is_some() && permit.knows_jobs() && !self.endpoint.creates();
        let usage = || UsageReader::of(headers).map(Reader::Usage);
        let jobs = || JobsReader::of(headers).map(Reader::Jobs);
        let reader = permit.counts_tokens().then(usage).flatten();
        reader.or_else(|| reads_jobs.then(jobs).flatten())
    }
}

/// Runs once for each limiter. It is out of line, so that other requests are not moved one more time.
#[cold]
#[inline(never)]
fn mark(extensions: &mut Extensions) {
    extensions.insert(LetGo);
}

/// The inner service, as seen by the turn.
struct Behind<'a, S, B> {
    service: &'a mut S,
    request: &'a mut Request<B>,
}

impl<S, B> Inner for Behind<'_, S, B>
where
    S: Service<Request<B>> + Clone,
{
    type Error = S::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn let_go(&mut self) {
        // The clone is not ready. Dropping the ready service releases the slot or permit that it holds.
        *self.service = self.service.clone();
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
