//! Promises of everything that is read from a server, for any bytes: `tests/parsers` and the fuzzer check the same
//! ones.

pub mod error;
pub mod reader;
pub mod report;
mod response;
pub mod usage;
