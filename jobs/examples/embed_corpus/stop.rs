//! The end of a run before all is embedded.

use std::process::{ExitCode, exit};

use futures_util::future::pending;
use tokio::{signal::ctrl_c, sync::watch};
use tower_together::Limiter;
use tower_together_jobs::Failure;

use crate::report::{Bar, say};

/// Ends the run: no more is begun, and the limiter is closed, so that what waits there is told at once. What was
/// sent has its response and is written.
pub(crate) struct Stop {
    limiter: Limiter,
    why: watch::Sender<Option<Why>>,
}

#[derive(Clone)]
enum Why {
    CtrlC,
    Failure(String),
}

impl Stop {
    /// Ctrl-C ends the run. Pressed again, it ends the program where it stands; even then nothing written is lost.
    pub(crate) fn new(limiter: Limiter, bar: Bar) -> Self {
        let why = watch::Sender::new(None);
        let stop = Self { limiter, why };
        let (limiter, why) = (stop.limiter.clone(), stop.why.clone());
        tokio::spawn(async move {
            if ctrl_c().await.is_ok() {
                why.send_replace(Some(Why::CtrlC));
                limiter.close();
                bar.say(
                    "stopping once all requests sent have a response; Ctrl-C again stops at once",
                );
                if ctrl_c().await.is_ok() {
                    exit(INTERRUPTED);
                }
            }
        });
        stop
    }

    /// Ends the run for a failure that all its requests would have.
    pub(crate) fn early(&self, failure: &Failure) {
        let why = Why::Failure(failure.kind());
        self.why.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(why);
            first
        });
        self.limiter.close();
    }

    /// Waits until the run is to end.
    pub(crate) fn told(&self) -> impl Future<Output = ()> + use<> {
        let mut why = self.why.subscribe();
        async move {
            if why.wait_for(Option::is_some).await.is_err() {
                pending().await
            }
        }
    }

    /// Says how to go on, and what the program's exit status is.
    pub(crate) fn end(&self, all_succeeded: bool) -> ExitCode {
        let why = self.why.borrow().clone();
        match (why, all_succeeded) {
            (None, true) => return ExitCode::SUCCESS,
            (None, false) => say("the same command retries what failed"),
            (Some(Why::CtrlC), _) => {
                say("stopped; the same command continues");
                return ExitCode::from(INTERRUPTED as u8);
            }
            (Some(Why::Failure(why)), _) => say(&format!(
                "ended early, for it would fail for all: {why}\n\
                 once that is put right, the same command continues"
            )),
        }
        ExitCode::FAILURE
    }
}

/// The exit status that shells give a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
