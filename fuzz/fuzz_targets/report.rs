//! Reports responses of any bytes to the limiter.

#![no_main]

use testing::promises::report;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    report::check(input);
});
