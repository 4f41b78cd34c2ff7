//! Promises of all JSON that is read, for the fuzzer and for `tests/parsers`.

use serde_json::Value;
use tower_together::jobs::read_json;

/// Reads any bytes, alone and within a string. Every input that a strict reader accepts is read the same. Members
/// beside a string are found, whatever it contains. Returns whether the bytes were read although a strict reader fails.
pub fn check(input: &[u8]) -> bool {
    let strict = serde_json::from_slice::<Value>(input);
    let read = read_json::<Value>(input);
    if let Ok(strict) = &strict {
        assert_eq!(read.as_ref().unwrap(), strict);
    }
    // A quote would end the string, and a backslash would escape the quote after it.
    let within: Vec<u8> = input.iter().copied().filter(|byte| *byte != b'"').collect();
    let body = [b"{\"odd\":\"", &within[..], b" \",\"model\":\"m\"}"].concat();
    let found = read_json::<Value>(&body).unwrap();
    assert_eq!(found["model"], "m");
    assert!(found["odd"].is_string());
    let named = [b"{\"", &within[..], b" \":1,\"model\":\"m\"}"].concat();
    assert_eq!(read_json::<Value>(&named).unwrap()["model"], "m");
    strict.is_err() && read.is_ok()
}
