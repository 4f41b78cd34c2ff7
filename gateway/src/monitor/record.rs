//! One call, from its arrival to the end of its response: its facts for the log and the counts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{Method, Response};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_together::{ApiError, Endpoint, Rejected};

use crate::{body::BodyFacts, error::Own, monitor::Monitor};

pub(crate) struct Record {
    pub(crate) program: Arc<str>,
    pub(crate) endpoint: Endpoint,
    method: Method,
    path: String,
    began: Instant,
    facts: Mutex<Facts>,
}

#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) model: Option<Arc<str>>,
    /// When it was queued.
    pub(crate) queued: Option<Instant>,
    /// How long it waited before its first attempt, if it has been sent.
    pub(crate) waited: Option<Duration>,
    pub(crate) attempts: u32,
    /// When it was sent, if its response is to be a stream: the wait for the first event counts from here.
    sent: Option<Instant>,
    streams: bool,
    pub(crate) status: Option<u16>,
    /// A word that names its error, if it failed.
    pub(crate) error: Option<String>,
    /// Whether the gateway itself rejected it.
    pub(crate) rejected: bool,
    message: Option<String>,
    end: Option<End>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its response was sent whole.
    Done,
    /// Its program hung up.
    HungUp,
    /// The API broke its response off.
    BrokeOff,
    /// The end of the grace period cut it.
    Cut,
    /// The first byte of its stream did not come in time.
    Silent,
}

impl Record {
    pub(crate) fn new(program: Arc<str>, method: &Method, path: &str) -> Self {
        Self {
            program,
            endpoint: Endpoint::of(method, path),
            method: method.clone(),
            path: path.to_owned(),
            began: now(),
            facts: Mutex::default(),
        }
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call's body has been read, and it waits for its turn.
    pub(crate) fn queue(&self, said: &BodyFacts) {
        let mut facts = self.facts();
        facts.model = said.model.as_ref().map(|model| model.name().into());
        facts.streams = said.streams;
        facts.queued = Some(now());
    }

    /// An attempt is sent. Returns how long the first one waited, and whether it is a retry.
    pub(crate) fn sent(&self) -> Option<Duration> {
        let mut facts = self.facts();
        facts.attempts += 1;
        facts.sent = facts.streams.then(now);
        if facts.waited.is_some() {
            return None;
        }
        let queued = facts.queued.unwrap_or(self.began);
        facts.waited = Some(now().saturating_duration_since(queued));
        facts.waited
    }

    /// The deadline for the first byte of its stream; `None` if the response is not to be a stream.
    pub(crate) fn first_byte(&self, within: Duration) -> Option<Instant> {
        self.facts().sent?.checked_add(within)
    }

    pub(crate) fn responded(&self, response: &Response<Body>) {
        let mut facts = self.facts();
        facts.status = Some(response.status().as_u16());
        let extensions = response.extensions();
        let error = extensions.get::<ApiError>();
        // An error in the body of a success has the status that the error names.
        let status = error.map_or(response.status(), ApiError::status);
        if !status.is_client_error() && !status.is_server_error() {
            return;
        }
        let own = extensions.get::<Own>();
        let rejected = Rejected::of(extensions);
        let code = own.map(|own| own.code.clone());
        let code = code.or(rejected.map(|rejected| rejected.reason().name().to_owned()));
        facts.rejected = rejected.is_some();
        facts.error = Some(code.unwrap_or_else(|| status.as_u16().to_string()));
        facts.message = own.map(|own| own.message.clone()).or_else(|| {
            let message = error?.message();
            Some(message.chars().take(MESSAGE).collect())
        });
    }

    /// Records how the call ended; only the first end counts.
    pub(crate) fn end(&self, end: End) {
        self.facts().end.get_or_insert(end);
    }

    /// Writes the call's log line, and counts its error.
    pub(crate) fn finish(&self, monitor: &Monitor) {
        let mut facts = self.facts();
        let end = *facts.end.get_or_insert(End::HungUp);
        if matches!(end, End::BrokeOff | End::Silent) {
            facts.error = Some(end.name().to_owned());
        }
        let seconds = |time: Duration| json!((time.as_secs_f64() * 1e3).round() / 1e3);
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        monitor.log.write(
            "call",
            &[
                ("program", (*self.program).into()),
                ("method", self.method.as_str().into()),
                ("path", self.path.as_str().into()),
                (
                    "model",
                    facts.model.as_deref().map_or(Value::Null, Value::from),
                ),
                ("status", facts.status.map_or(Value::Null, Value::from)),
                ("end", end.name().into()),
                (
                    "seconds",
                    seconds(now().saturating_duration_since(self.began)),
                ),
                ("waited", facts.waited.map_or(Value::Null, seconds)),
                ("attempts", facts.attempts.into()),
                ("error", text(&facts.error)),
                ("message", text(&facts.message)),
            ],
        );
        monitor.finish(self.endpoint, &self.program, &facts);
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::HungUp => "hung_up",
            Self::BrokeOff => "broke_off",
            Self::Cut => "cut",
            Self::Silent => "silent",
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a log shows real time")]
fn now() -> Instant {
    Instant::now()
}

/// The length of a logged message, enough to tell errors apart. It is short because a message may quote a prompt.
const MESSAGE: usize = 200;
