//! A request that has been sent, and its response.

use std::{
    mem,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    ResponseBody,
    body_reader::{Reader, Readers},
    head,
    jobs::JobRelation,
};
use crate::{
    adapter::relay,
    body::{Bound, Peek, Whole},
    clock,
    limiter::{Permit, Slot},
    wire::{
        self,
        response::{InBandReader, JobsReader, UsageReader},
    },
    words::{ApiError, Each, Endpoint, Report},
};

/// A request that has been sent.
pub(super) struct Departed {
    permit: Permit,
    /// The rates for which the permit reports a response. A call that is dropped has none.
    witness: Each<bool>,
    endpoint: Endpoint,
    /// The instant until which the response's body may be read. Boxed, since it is rare and `Departed` is often moved.
    deadline: Option<Box<Instant>>,
    job: Option<Box<JobRelation>>,
}

/// A response whose body is being read: an error, a created job, or the beginning of a success.
pub(super) struct Reading<R: Body> {
    head: response::Parts,
    body: Peek<R>,
    /// Maximum bytes that are read.
    most: usize,
    wait: Option<Duration>,
    departed: Departed,
    since: Instant,
}

pub(super) enum Responded<R: Body> {
    Done(Response<ResponseBody<R>>),
    ToRead(Box<Reading<R>>),
}

impl<R: Body<Data = Bytes>> Responded<R> {
    /// Takes `sent` only if more is to be read: it is large.
    pub(super) fn of(response: Response<R>, sent: &mut Option<Departed>, bound: Bound) -> Self {
        let Some(departed) = sent else {
            return Self::Done(response.map(|body| ResponseBody::of(Whole::inner(body))));
        };
        let witness = mem::take(&mut departed.witness);
        departed.permit.has_response(witness);
        let (mut head, body) = response.into_parts();
        head::waited(&mut head, &departed.permit);
        if head::is_error(&head) || departed.created_job(&head) {
            let since = clock::now();
            let bound =
                head::bounded(&head, bound).until(departed.deadline.as_deref().copied(), since);
            return Self::ToRead(Box::new(Reading {
                body: Peek::new(body, bound),
                most: bound.bytes,
                wait: head::wait(&head, since),
                head,
                departed: sent.take().expect(SENT),
                since,
            }));
        }
        let endpoint = departed.endpoint;
        let body = match Peek::success(endpoint, &head, body, Duration::ZERO) {
            Ok(body) => {
                return Self::ToRead(Box::new(Reading {
                    body,
                    most: Bound::ERROR.bytes,
                    wait: None,
                    head,
                    departed: sent.take().expect(SENT),
                    since: clock::now(),
                }));
            }
            Err(body) => body,
        };
        departed.report_head(&mut head);
        if head.status == StatusCode::SWITCHING_PROTOCOLS && departed.permit.holds_slot() {
            let departed = sent.take().expect(SENT);
            head.extensions.insert(Slot::new(departed.permit));
            return Self::Done(Response::from_parts(
                head,
                ResponseBody::of(Whole::inner(body)),
            ));
        }
        let body = Whole::inner(body);
        let is_over = body.is_end_stream();
        let at_end = (!is_over).then(|| departed.reader(&head)).flatten();
        let body = if at_end.is_none() {
            ResponseBody::in_slots(body, departed.permit.leave_slots())
        } else {
            let readers = Readers {
                at_end,
                in_band: None,
            };
            ResponseBody::holding(body, sent.take().expect(SENT).permit, readers)
        };
        Self::Done(Response::from_parts(head, body))
    }
}

impl<R: Body<Data = Bytes>> Reading<R> {
    /// Ready when enough of the body has been read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body.poll_read(cx)
    }

    pub(super) fn finish(mut self) -> Response<ResponseBody<R>> {
        if let Some(reader) = self.body.take_reader() {
            return self.success(&reader);
        }
        let bytes = self.body.bytes(self.most);
        if head::is_error(&self.head) {
            head::name(&mut self.head, self.wait, &bytes, &self.departed.permit);
        }
        let mut head = self.head;
        // The server's wait counts from the arrival of its response.
        let late = clock::now().saturating_duration_since(self.since);
        let mut report = head::report(&head, &bytes, self.departed.endpoint);
        // The rest of the body may still name the job.
        let is_unnamed = mem::take(&mut report.jobs.unnamed)
            || bytes.is_empty() && self.departed.created_job(&head);
        self.departed.tell(&mut head, report.read_after(late));
        let (body, permit) = (Whole::peeked(self.body), self.departed.permit);
        let body = match is_unnamed {
            true => ResponseBody::for_job(body, permit),
            false => ResponseBody::holding(body, permit, Readers::default()),
        };
        Response::from_parts(head, body)
    }

    /// A success, with the part of its body that arrived with the head.
    fn success(mut self, first: &InBandReader) -> Response<ResponseBody<R>> {
        let (endpoint, mut head) = (self.departed.endpoint, self.head);
        let error = first.found(&head.headers, || head::wait(&head, clock::now()));
        // The body's own reader reads from the beginning again, for an error that comes later.
        let is_over = first.is_over() || self.body.is_whole() || error.is_some();
        let reader = || InBandReader::of(endpoint, head.status, &head.headers);
        let in_band = (!is_over).then(reader).flatten();
        if let Some(error) = error {
            head::insert(&mut head, error, &self.departed.permit);
        }
        self.departed.report_head(&mut head);
        let at_end = self.departed.reader(&head);
        let readers = Readers { at_end, in_band };
        let body = ResponseBody::holding(Whole::peeked(self.body), self.departed.permit, readers);
        Response::from_parts(head, body)
    }
}

impl Departed {
    /// `deadline` is the instant until which the response's body may be read.
    pub(super) fn of<B>(
        mut permit: Permit,
        endpoint: Endpoint,
        deadline: Option<Instant>,
        request: &mut Request<B>,
    ) -> Self {
        Self {
            witness: permit.take_witness(),
            permit,
            endpoint,
            deadline: deadline.map(Box::new),
            job: JobRelation::of(request, endpoint),
        }
    }

    /// Handles an error of the service, which may mean that the request was throttled.
    pub(super) fn failed(self) {
        self.permit.failed();
        relay::leave(self.permit.to_be_throttled());
    }

    /// Whether a created job must be read at once, since its caller may not read the response.
    fn created_job(&self, head: &response::Parts) -> bool {
        let creates = self.job.is_some() && self.endpoint.creates();
        creates && head.status.is_success() && self.permit.holds_job_slot()
    }

    /// Reports the response's head.
    fn report_head(&mut self, head: &mut response::Parts) {
        let failed = head.extensions.get::<ApiError>().is_some();
        let speaks = || wire::response::speaks(&head.headers, self.permit.learns());
        let is_silent = head.status.is_success() && !failed && !speaks();
        if !is_silent || self.job.is_some() || self.permit.is_witness() {
            let report = head::report(head, &[], self.endpoint);
            self.tell(head, report);
        }
    }

    /// Reports the parts of the response read so far.
    fn tell(&mut self, head: &mut response::Parts, mut report: Report) {
        if let Some(id) = self.job.as_ref().and_then(|job| job.id.as_deref()) {
            report = report.about_job(id);
        }
        if !self.permit.counts_tokens() {
            report.tokens = None;
        }
        head::tell(head, &mut self.permit, self.endpoint, &report);
        if self.job.as_ref().is_some_and(|job| job.asks) {
            if let Some(book) = self.permit.job_book() {
                head.extensions.insert(book);
            }
        }
    }

    /// A reader for the body, if the body may contain more.
    fn reader(&self, head: &response::Parts) -> Option<Reader> {
        let (permit, headers) = (&self.permit, &head.headers);
        let reads_jobs = self.job.is_some() && permit.knows_jobs() && !self.endpoint.creates();
        let usage = || UsageReader::of(headers).map(Reader::Usage);
        let jobs = || JobsReader::of(headers).map(Reader::Jobs);
        let reader = permit.counts_tokens().then(usage).flatten();
        reader.or_else(|| reads_jobs.then(jobs).flatten())
    }
}

const SENT: &str = "a request that has departed has one response";
