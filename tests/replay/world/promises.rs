//! The promises of each attempt, and of the memory that the record takes.

use std::fmt::Display;

use bytes::Bytes;
use http_body::Body;
use tower_together::body::RequestBody;

use super::{Place, World};

impl<B> World<B>
where
    B: RequestBody + Body<Data = Bytes, Error: Display>,
{
    pub(super) fn assert_finished(&self) {
        let attempts = self.attempts();
        for (place, attempt) in attempts.iter().enumerate() {
            let Place::Here(attempt) = attempt else {
                continue;
            };
            let counts = place + 1 == attempts.len();
            // An abandoned attempt that cannot be told so cannot be told of a failure either.
            let may_wait = !counts && !self.tells && self.script.fails_at.is_some();
            assert!(attempt.is_done || may_wait, "{place} waits for nothing");
        }
    }

    pub(super) fn assert_all(&self) {
        let attempts = self.attempts();
        let newest = attempts.len();
        for (place, attempt) in attempts.iter().enumerate() {
            let Place::Here(attempt) = attempt else {
                continue;
            };
            let (body, script) = (&attempt.body, &self.script);
            if body.is_end_stream() {
                assert_eq!(attempt.next, script.items(), "{place} looks ended");
                assert_eq!(script.fails_at, None, "{place} looks ended");
            } else if place + 1 == newest && !self.tap.is_polled() {
                let is_known = script.tells_end || self.tap.has_ended();
                let is_told = is_known && attempt.next == script.items();
                assert!(!is_told || script.fails_at.is_some(), "{place} has ended");
            }
            let (hint, whole) = (body.size_hint(), script.hint());
            assert_eq!(hint.lower(), whole.lower().saturating_sub(attempt.passed));
            assert_eq!(
                hint.upper(),
                whole.upper().map(|upper| upper - attempt.passed)
            );
        }
        drop(attempts);
        let most = self.script.hint().upper().unwrap_or(self.script.data());
        let used = self.used();
        assert!(
            used <= most + self.script.trailers_len(),
            "{used} for {most}"
        );
    }
}
