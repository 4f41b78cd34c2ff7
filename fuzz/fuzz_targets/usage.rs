//! Answers of any bytes at all, whose usage is read as they pass.

#![no_main]

#[path = "../usage.rs"]
mod usage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    usage::check(input);
});
