//! Reads error responses of any bytes.

#![no_main]

use testing::promises::error;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    error::check(input);
});
