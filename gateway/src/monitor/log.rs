//! One line on standard error for each call, as text or as JSON.
//!
//! A thread writes the lines, so that a reader that has stopped blocks no call. Its lines are dropped, and the next
//! line that is written counts them.

use std::{
    io::{self, Write},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, SyncSender},
    },
    thread,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;
use serde_json::{Map, Value};

/// How calls are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Off,
}

pub(crate) struct Log {
    format: Format,
    lines: SyncSender<Line>,
    dropped: AtomicU64,
}

enum Line {
    Text(String),
    /// Signals that all lines before it are written.
    Flush(mpsc::Sender<()>),
}

impl Log {
    pub(crate) fn start(format: Format) -> Self {
        let (lines, written) = mpsc::sync_channel(QUEUE);
        thread::spawn(move || {
            for line in written {
                match line {
                    // A failure is ignored: it could be reported nowhere.
                    Line::Text(line) => drop(io::stderr().write_all(line.as_bytes())),
                    Line::Flush(done) => drop(done.send(())),
                }
            }
        });
        Self {
            format,
            lines,
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
                format!("{}\n", Value::Object(facts))
            }
            _ => {
                facts.fold(format!("{time} {event}"), |line, (name, value)| {
                    format!("{line} {name}={}", plain(&value))
                }) + "\n"
            }
        };
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.dropped.fetch_add(dropped + 1, Relaxed);
        }
    }

    /// Waits until all lines are written, but not for long.
    pub(crate) fn flush(&self) {
        let (done, flushed) = mpsc::channel();
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH);
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

/// Some megabytes of lines.
const QUEUE: usize = 8_192;
const FLUSH: Duration = Duration::from_secs(1);
