//! Responses of any bytes at all, reported to the limiter.

#![no_main]

#[path = "../answer.rs"]
mod answer;
#[path = "../report.rs"]
mod report;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    report::check(input);
});
