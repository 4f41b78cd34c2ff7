//! Reads the usage in responses of any bytes as they pass.

#![no_main]

use testing::promises::usage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    usage::check(input);
});
