//! The display of a run: its progress, and its failures.

use std::{
    env,
    io::{self, IsTerminal, Write},
    pin::Pin,
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    select,
    time::{Instant, Interval, interval_at},
};
use tower_together_jobs::Tally;

/// A bar, or lines where none can be drawn.
pub(crate) struct Progress {
    pub(crate) tally: Tally,
    bar: ProgressBar,
    since: Instant,
    lines: Interval,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "a program measures real time")]
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let target = match io::stderr().is_terminal() && !dumb {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let style = ProgressStyle::with_template("{bar:32} {wide_msg}");
        bar.set_style(style.expect("a template that is right"));
        bar.enable_steady_tick(Duration::from_secs(1));
        let since = Instant::now();
        Self {
            tally: Tally::new(what).with_total(total as u64),
            bar,
            since,
            lines: interval_at(since + BETWEEN_LINES, BETWEEN_LINES),
        }
    }

    /// The next of a stream. Until it comes, it is said how far the run is.
    pub(crate) async fn next<S: Stream>(&mut self, mut items: Pin<&mut S>) -> Option<S::Item> {
        loop {
            self.show();
            select! {
                item = items.next() => return item,
                _ = self.lines.tick() => self.line(),
            }
        }
    }

    /// Says what failed.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
        self.line();
        for line in self.tally.failures() {
            say(&line);
        }
    }

    fn show(&self) {
        self.bar.set_position(self.tally.done());
        self.bar
            .set_message(self.tally.progress(self.since.elapsed()));
    }

    fn line(&self) {
        if self.bar.is_hidden() {
            say(&self.tally.progress(self.since.elapsed()));
        }
    }
}

/// Writes a line to standard error; there is nobody to tell if that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);
