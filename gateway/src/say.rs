//! Lines on standard error.
//!
//! A thread writes them, so that a reader that has stopped blocks neither a call nor the end of the program.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

enum Line {
    Text(String),
    /// Signals that all lines before it are written.
    Flush(mpsc::Sender<()>),
}

static LINES: LazyLock<SyncSender<Line>> = LazyLock::new(|| {
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
    lines
});

/// Writes a line to standard error. Returns false if the line is dropped, because too many wait to be written.
pub(crate) fn say(line: &str) -> bool {
    LINES.try_send(Line::Text(format!("{line}\n"))).is_ok()
}

/// Waits until all lines are written, but not for long.
pub(crate) fn flush() {
    let (done, flushed) = mpsc::channel();
    // The queue may be full, and there is no `send` with a time limit.
    thread::spawn(|| LINES.send(Line::Flush(done)));
    let _ = flushed.recv_timeout(FLUSH);
}

/// Some megabytes of lines.
const QUEUE: usize = 8_192;
const FLUSH: Duration = Duration::from_secs(1);
