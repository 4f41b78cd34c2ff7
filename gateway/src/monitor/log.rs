//! One line on standard error for each call, as text or as JSON.
//!
//! If a reader of standard error has stopped, lines are dropped, and the next line that is written counts them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::SystemTime,
};

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::say::say;

/// How calls are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Off,
}

pub(crate) struct Log {
    format: Format,
    dropped: AtomicU64,
}

impl Log {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            dropped: AtomicU64::new(0),
        }
    }

    /// Writes an event and its facts, in this order.
    pub(crate) fn write(&self, event: &str, facts: &[(&str, Value)]) {
        if self.format == Format::Off {
            return;
        }
        let dropped = self.dropped.swap(0, Relaxed);
        let lost = (dropped > 0).then(|| ("lines_dropped", dropped.into()));
        let facts = facts.iter().cloned().chain(lost);
        let facts = facts.filter(|(_, value)| !value.is_null());
        let time = humantime::format_rfc3339_millis(now()).to_string();
        let line = match self.format {
            Format::Json => {
                let head = [("time", time.into()), ("event", event.into())];
                let facts = head.into_iter().chain(facts);
                let facts: Map<_, _> = facts
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                Value::Object(facts).to_string()
            }
            _ => facts.fold(format!("{time} {event}"), |line, (name, value)| {
                format!("{line} {name}={}", plain(&value))
            }),
        };
        if !say(&line) {
            self.dropped.fetch_add(dropped + 1, Relaxed);
        }
    }
}

/// Returns a single word as it is, and quotes anything else, so that no call can forge a line.
fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_of_word) => text.to_owned(),
        _ => value.to_string(),
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\')
}

#[expect(clippy::disallowed_methods, reason = "a log shows real time")]
fn now() -> SystemTime {
    SystemTime::now()
}
