//! The progress in the terminal: runs done, runs per second, and the time left.
#![allow(clippy::disallowed_methods, reason = "runs take real time")]

use std::{
    io::{self, IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

pub(crate) struct Progress {
    start: Instant,
    runs: usize,
    state: Mutex<State>,
}

struct State {
    done: usize,
    shown: Instant,
}

impl Progress {
    pub(crate) fn new(runs: usize) -> Self {
        let start = Instant::now();
        let state = State {
            done: 0,
            shown: start,
        };
        Self {
            start,
            runs,
            state: Mutex::new(state),
        }
    }

    /// One more run is done.
    pub(crate) fn step(&self) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        state.done += 1;
        let (mut out, now) = (io::stderr().lock(), Instant::now());
        let apart = if out.is_terminal() { OFTEN } else { SELDOM };
        if now - state.shown < apart {
            return Ok(());
        }
        state.shown = now;
        let line = self.line(state.done, now - self.start);
        match out.is_terminal() {
            true => write!(out, "\r{line:<70}"),
            false => writeln!(out, "{line}"),
        }
    }

    pub(crate) fn end(&self) -> io::Result<()> {
        let mut out = io::stderr().lock();
        if out.is_terminal() {
            write!(out, "\r{:<70}\r", "")?;
        }
        let seconds = self.start.elapsed().as_secs_f64();
        writeln!(out, "{} runs in {seconds:.0} s", self.runs)
    }

    fn line(&self, done: usize, elapsed: Duration) -> String {
        let rate = done as f64 / elapsed.as_secs_f64();
        let left = (self.runs - done) as f64 / rate;
        format!(
            "{done} of {} runs, {rate:.1} a second, {:.0} min {:02.0} s left",
            self.runs,
            (left / 60.0).floor(),
            left % 60.0
        )
    }
}

const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(10);
