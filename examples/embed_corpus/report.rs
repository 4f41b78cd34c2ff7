//! What the run shows: a progress bar, the failures, and a last line for scripts.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use tokio::time::Instant;

use crate::{args::Args, corpus::Corpus, output::Output, target::Target, traffic::Traffic};

/// Watches one run. All it shows goes to standard error, except the last line.
pub(crate) struct Report {
    bar: ProgressBar,
    total: usize,
    since: Instant,
    /// When a line was last printed, where there is no terminal for a bar.
    printed: Option<Instant>,
    embedded: usize,
    failed: usize,
    /// Requests by what went wrong, those of earlier runs included.
    failures: BTreeMap<String, Vec<usize>>,
}

impl Report {
    #[expect(clippy::disallowed_methods, reason = "a program measures real time")]
    pub(crate) fn new(corpus: &Corpus, output: &Output, target: &Target) -> Self {
        let (total, found) = (corpus.requests(), output.found());
        say(&format!(
            "{} texts in {total} requests, embedded by {}, into {}",
            corpus.len(),
            target.name,
            output.path().display(),
        ));
        if found.other {
            say(
                "the unfinished output was of other texts, or another model or server: overwritten",
            );
        } else if found.requests > 0 {
            say(&format!(
                "{} requests were done before: continuing",
                found.requests
            ));
        }
        let mut failures = BTreeMap::<_, Vec<_>>::new();
        for (request, why) in &found.failed {
            failures.entry(why.clone()).or_default().push(*request);
        }
        let since = Instant::now();
        Self {
            bar: bar(total, found.requests),
            total,
            since,
            printed: (!io::stderr().is_terminal()).then_some(since),
            embedded: 0,
            failed: 0,
            failures,
        }
    }

    /// Takes note of an answer.
    pub(crate) fn answered(
        &mut self,
        request: usize,
        corpus: &Corpus,
        answer: Result<Vec<Vec<f32>>, String>,
    ) {
        match answer {
            Ok(_) => self.embedded += corpus.range(request).len(),
            Err(why) => {
                self.failed += 1;
                self.failures.entry(why).or_default().push(request);
                self.bar.set_message(format!(", {} failed", self.failed));
            }
        }
        self.bar.inc(1);
        self.print_now_and_then();
    }

    /// Whether every request succeeded, those of earlier runs included.
    pub(crate) fn all_succeeded(&self) -> bool {
        self.failures.is_empty()
    }

    /// Says which requests failed, and ends with the last line.
    pub(crate) fn end(
        &self,
        args: &Args,
        target: &Target,
        output: &Output,
        finished: bool,
    ) -> io::Result<()> {
        let seconds = self.since.elapsed().as_secs_f64();
        self.bar.abandon();
        if !self.bar.is_hidden() {
            // The bar fills its line and leaves the cursor there.
            say("");
        }
        for (why, requests) in &self.failures {
            say(&format!("failed: {}: {why}", ranges(requests)));
        }
        if !finished {
            say(&format!(
                "stopped after {} of {} requests; the same command continues from there",
                output.done(),
                self.total,
            ));
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
            requests, refused, ..
        } = traffic;
        let (embedded, failed) = (self.embedded, self.failed);
        let used = 100.0 * target.quota_used(&traffic, args);
        writeln!(
            io::stdout(),
            "texts={embedded} requests={requests} failed={failed} 429s={refused} \
             quota_used={used:.1}% seconds={seconds:.1}"
        )
    }

    #[expect(clippy::disallowed_methods, reason = "a program measures real time")]
    fn print_now_and_then(&mut self) {
        if self
            .printed
            .is_some_and(|printed| printed.elapsed() >= BETWEEN_LINES)
        {
            self.printed = Some(Instant::now());
            let seconds = self.since.elapsed().as_secs();
            let done = self.bar.position();
            say(&format!(
                "{done} of {} requests after {seconds} s",
                self.total
            ));
        }
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

/// Numbers of requests for people: counted from 1, neighbours together.
fn ranges(requests: &[usize]) -> String {
    let mut text = String::from(if requests.len() == 1 {
        "request"
    } else {
        "requests"
    });
    for (place, run) in requests.chunk_by(|one, next| one + 1 == *next).enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let (first, last) = (run[0] + 1, run[0] + run.len());
        let _ = match first == last {
            true => write!(text, "{comma} {first}"),
            false => write!(text, "{comma} {first}-{last}"),
        };
    }
    text
}

/// The rate and the time left are those of this run: what an earlier one did says nothing of it.
fn bar(total: usize, before: usize) -> ProgressBar {
    let before = before as u64;
    let rate = move |state: &ProgressState, text: &mut dyn fmt::Write| {
        let done = state.pos().saturating_sub(before) as f64;
        let minutes = state.elapsed().as_secs_f64() / 60.0;
        let _ = write!(text, "{:.0}", done / minutes.max(f64::EPSILON));
    };
    let left = move |state: &ProgressState, text: &mut dyn fmt::Write| {
        let left = state.len().unwrap_or_default().saturating_sub(state.pos());
        let done = state.pos().saturating_sub(before);
        let left = state.elapsed().as_secs_f64() * left as f64 / done as f64;
        let _ = match Duration::try_from_secs_f64(left) {
            Ok(left) => write!(text, "{:#}", HumanDuration(left)),
            // Nothing is done yet.
            Err(_) => write!(text, "?"),
        };
    };
    let style = ProgressStyle::with_template(
        "{bar:30.cyan/blue} {pos}/{len} requests, {rate}/min, {left} left{msg:.red}",
    );
    let style = style.expect("a template that is written above");
    let style = style.with_key("rate", rate).with_key("left", left);
    let bar = ProgressBar::new(total as u64).with_position(before);
    bar.set_style(style.progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);
