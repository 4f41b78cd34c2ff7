//! Answers of any bytes at all, whose usage is read as they pass.

#![no_main]

use testing::promises::usage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    usage::check(input);
});
