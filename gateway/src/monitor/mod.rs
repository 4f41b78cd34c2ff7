//! The outcomes of all calls in this run: the log, the outage and the counts.

pub(crate) mod log;
pub(crate) mod outage;
pub(crate) mod programs;
pub(crate) mod record;
pub(crate) mod traffic;
pub(crate) mod waits;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{Response, StatusCode};
use tower_together::Endpoint;

use crate::{
    body::BodyFacts,
    monitor::{
        log::Log,
        outage::{Outage, works},
        programs::Programs,
        record::{Facts, Record},
        waits::Waits,
    },
};

pub(crate) struct Monitor {
    pub(crate) log: Log,
    pub(crate) outage: Outage,
    counts: Mutex<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    /// Calls that failed, by endpoint and by a word that names the error.
    pub(crate) errors: HashMap<(&'static str, String), u64>,
    /// Calls that failed, without those that the gateway rejected.
    failed: u64,
    /// Attempts after the first of each call.
    pub(crate) retries: HashMap<&'static str, u64>,
    /// Calls with an unknown token.
    pub(crate) unknown_tokens: u64,
    pub(crate) waits: Waits,
    pub(crate) programs: Programs,
}

impl Monitor {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            log,
            outage: Outage::default(),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a call that access control rejects.
    pub(crate) fn reject(&self, rejection: Response<Body>) -> Response<Body> {
        let is_unknown = rejection.status() == StatusCode::UNAUTHORIZED;
        self.counts().unknown_tokens += u64::from(is_unknown);
        rejection
    }

    /// Reports a call that waits for its turn.
    pub(crate) fn queue(&self, record: &Record, said: &BodyFacts) {
        record.queue(said);
        self.counts().programs.of(&record.program).waiting += 1;
    }

    /// Reports an attempt that is sent.
    pub(crate) fn sent(&self, record: &Record) {
        let first = record.sent();
        let model = record.facts().model.clone();
        let mut counts = self.counts();
        match first {
            Some(waited) => {
                counts.waits.add(record.endpoint, model, waited);
                counts.programs.of(&record.program).sent(waited);
            }
            None => *counts.retries.entry(record.endpoint.name()).or_default() += 1,
        }
    }

    /// Reports an attempt's status or error.
    pub(crate) fn came(&self, result: Result<StatusCode, String>) {
        let error = match result {
            Ok(status) => match works(status) {
                Some(true) => None,
                Some(false) => Some(status.to_string()),
                None => return,
            },
            Err(error) => Some(error),
        };
        match error {
            Some(error) => {
                if let Some(outage) = self.outage.failed(error) {
                    self.log.write("outage", &[("error", outage.error.into())]);
                }
            }
            None => {
                if let Some(outage) = self.outage.responded() {
                    let seconds = outage.seconds();
                    self.log.write(
                        "outage_over",
                        &[
                            ("seconds", seconds.into()),
                            ("failures", outage.failures.into()),
                        ],
                    );
                }
            }
        }
    }

    /// Reports a call that has ended.
    pub(crate) fn finish(&self, endpoint: Endpoint, program: &Arc<str>, facts: &Facts) {
        let mut counts = self.counts();
        let of_program = counts.programs.of(program);
        of_program.rejected += u64::from(facts.rejected);
        if facts.queued.is_some() && facts.waited.is_none() {
            of_program.waiting -= 1;
        }
        if let Some(error) = &facts.error {
            of_program.errors += 1;
            counts.failed += u64::from(!facts.rejected);
            let name = (endpoint.name(), error.clone());
            *counts.errors.entry(name).or_default() += 1;
        }
    }
}

impl Counts {
    /// The numbers of calls that failed and of retries.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.failed, self.retries.values().sum())
    }
}

/// The message for an attempt without a response: it took as long as `patience`.
pub(crate) fn silent(patience: Duration) -> String {
    format!("no response within {patience:?}")
}
