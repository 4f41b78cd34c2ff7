//! JSON of any bytes at all.

#![no_main]

#[path = "../reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    reader::check(input);
});
