//! What error answers say, in any bytes at all.

#![no_main]

#[path = "../answer.rs"]
mod answer;
#[path = "../promises.rs"]
mod promises;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    promises::check(input);
});
