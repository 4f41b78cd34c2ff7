//! The list of faults.

use std::time::{Duration, SystemTime};

use super::{
    date::{asctime, imf, rfc850},
    shape::{bare, flat, html, object},
};
use crate::answer::Answer;

/// A fault's name, and what a request gets at a given time.
type Fault = (&'static str, fn(SystemTime) -> Answer);

/// All of them. The shapes of the bodies are spread
/// over them: a client should read the status and the headers, whatever the body is like.
pub(super) const FAULTS: [Fault; 24] = [
    ("429-retry-after", |_| {
        object(429, LIMITED).header("retry-after", 1)
    }),
    ("429-retry-after-decimal", |_| {
        bare(429, LIMITED).header("retry-after", 0.5)
    }),
    ("429-retry-after-ms", |_| {
        flat(429, LIMITED).header("retry-after-ms", 300)
    }),
    ("429-reset-only", |_| {
        object(429, LIMITED).header("x-ratelimit-reset", 1)
    }),
    ("429-imf-fixdate", |now| dated(bare(429, LIMITED), now, imf)),
    ("429-rfc850-date", |now| {
        dated(flat(429, LIMITED), now, rfc850)
    }),
    ("429-asctime-date", |now| {
        dated(object(429, LIMITED), now, asctime)
    }),
    ("429-no-hint", |_| bare(429, LIMITED)),
    ("429-html", |_| {
        html(429, "Too many requests").header("retry-after", 1)
    }),
    ("400-should-retry", |_| {
        object(400, "The request could not be read; try again.").header("x-should-retry", true)
    }),
    ("408", |_| flat(408, "The request took too long.")),
    ("500", |_| object(500, "Internal server error")),
    ("502-html", |_| html(502, "Bad gateway")),
    ("503", |_| bare(503, OVERLOADED)),
    ("503-retry-after", |_| {
        flat(503, OVERLOADED).header("retry-after", 1)
    }),
    ("504", |_| object(504, "The model did not respond in time.")),
    // These two are what Cloudflare says when the server behind it misbehaves or dawdles.
    ("520", |_| {
        html(520, "Web server is returning an unknown error")
    }),
    ("524", |_| html(524, "A timeout occurred")),
    ("529", |_| flat(529, OVERLOADED)),
    ("reset", |_| Answer::reset()),
    ("refused-stream", |_| Answer::refused_stream()),
    ("go-away", |_| Answer::go_away()),
    // Only the client's own timeout ends it.
    ("hang", |_| Answer::reset().delay(HOUR)),
    ("outage", |_| Answer::outage(OUTAGE)),
];

/// Retry-After as a date. The response has a date of its own, because the client's clock may differ.
fn dated(response: Answer, now: SystemTime, form: fn(SystemTime) -> String) -> Answer {
    response
        .header("date", imf(now))
        .header("retry-after", form(now + IN_TWO_SECONDS))
}

const LIMITED: &str = "You have been rate limited. Please slow down.";
const OVERLOADED: &str = "The server is overloaded or not ready yet.";

const HOUR: Duration = Duration::from_secs(3600);

/// Two, because a date has no fractions: one could be over by the time it is read.
const IN_TWO_SECONDS: Duration = Duration::from_secs(2);

/// Time enough for connections to be refused, and little enough to be waited out in a few retries.
const OUTAGE: Duration = Duration::from_millis(300);
