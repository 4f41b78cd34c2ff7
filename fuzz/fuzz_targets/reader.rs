//! Reads JSON of any bytes.

#![no_main]

use testing::promises::reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    reader::check(input);
});
