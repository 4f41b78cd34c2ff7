//! The run's progress, its failures, and a last line for scripts.

use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;
use tower_together_jobs::{Failure, Results, Tally};

use crate::{args::Args, passages::Passages, target::Target, traffic::Traffic};

/// Watches one run. All it shows goes to standard error, except the last line.
pub(crate) struct RunReport {
    bar: ProgressBar,
    tally: Tally,
    since: Instant,
}

impl RunReport {
    #[expect(clippy::disallowed_methods, reason = "a program measures real time")]
    pub(crate) fn new(corpus: &Passages, results: &Results, target: &Target) -> Self {
        let (total, files) = (corpus.len(), corpus.files());
        let texts = total.map_or("texts".to_owned(), |total| format!("{total} texts"));
        let (name, path) = (&target.name, results.path().display());
        say(&format!(
            "{texts} of {files} files, embedded by {name}, into {path}"
        ));
        if !results.is_empty() {
            say(&format!("{} texts are there already", results.len()));
        }
        let tally = Tally::new("texts");
        let report = Self {
            bar: bar(total),
            tally: match total {
                Some(total) => tally.with_total(total),
                None => tally,
            },
            since: Instant::now(),
        };
        report.show();
        report
    }

    /// Counts a text that need not be embedded.
    pub(crate) fn known(&mut self) {
        self.tally.known();
        self.show();
    }

    /// Counts a text that was embedded.
    pub(crate) fn success(&mut self) {
        self.tally.success();
        self.show();
    }

    /// Counts a text that was not.
    pub(crate) fn failure(&mut self, source: &str, failure: &Failure) {
        self.tally.failure(failure.kind(), source);
        self.show();
    }

    /// Counts a file that could be read no further.
    pub(crate) fn unreadable(&mut self, error: &io::Error) {
        self.tally.failure("a file could not be read", error);
        self.show();
    }

    /// The bar, to say lines above it.
    pub(crate) fn bar(&self) -> Bar {
        Bar(self.bar.clone())
    }

    /// Says how far the run is, in a line where there is no bar: to be called every [`BETWEEN_LINES`].
    pub(crate) fn tick(&self) {
        self.show();
        if self.bar.is_hidden() {
            say(&self.tally.progress(self.since.elapsed()));
        }
    }

    /// Whether there was no response after all retries of this request, and no text was embedded.
    pub(crate) fn heard_nothing(&self, failure: &Failure) -> bool {
        !failure.was_answered() && self.tally.succeeded() == 0
    }

    /// Whether no text failed.
    pub(crate) fn all_succeeded(&self) -> bool {
        self.tally.failed() == 0
    }

    /// Says what failed, and ends with the last line.
    pub(crate) fn end(&self, args: &Args, corpus: &Passages, target: &Target) -> io::Result<()> {
        let seconds = self.since.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        for line in self.tally.failures() {
            say(&line);
        }
        if let Some(line) = corpus.skipped().line() {
            say(&line);
        }
        let faults = target.faults();
        if !faults.is_empty() {
            say(&format!(
                "the stand-in failed on purpose: {}",
                list(&faults)
            ));
        }
        let traffic = target.traffic();
        let Traffic {
            requests, rejected, ..
        } = traffic;
        let (embedded, failed) = (self.tally.succeeded(), self.tally.failed());
        let used = 100.0 * target.quota_used(&traffic, args);
        writeln!(
            io::stdout(),
            "texts={embedded} requests={requests} failed={failed} 429s={rejected} \
             quota_used={used:.1}% seconds={seconds:.1}"
        )
    }

    fn show(&self) {
        self.bar.set_position(self.tally.done());
        if !self.bar.is_hidden() {
            self.bar
                .set_message(self.tally.progress(self.since.elapsed()));
        }
    }
}

/// A handle to the bar.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Says a line above it.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| say(line));
    }
}

/// Writes a line to standard error; there is nobody to tell if that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The names of faults, those that happened more than once with how often.
fn list(faults: &BTreeMap<&str, u64>) -> String {
    let name = |(name, times): (&&str, &u64)| match times {
        1 => (*name).to_owned(),
        times => format!("{name} x{times}"),
    };
    let happened = faults.iter().filter(|(_, times)| **times > 0);
    let names: Vec<_> = happened.map(name).collect();
    names.join(", ")
}

/// A bar, or a hidden one where none can be drawn: off a terminal, and on one that only takes lines.
fn bar(total: Option<u64>) -> ProgressBar {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let target = match io::stderr().is_terminal() && !dumb {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => "{bar:30.cyan/blue} {wide_msg}",
        None => "{spinner} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(
        style
            .expect("a template that is written above")
            .progress_chars("━╸─"),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Between two lines where there is no bar.
pub(crate) const BETWEEN_LINES: Duration = Duration::from_secs(10);
