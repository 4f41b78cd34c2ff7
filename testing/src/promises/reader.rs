//! Promises of all JSON that is read, for the fuzzer and for `tests/parsers`.

use serde_json::Value;
use tower_together::jobs::read_json;

/// Reads any bytes, and any bytes within a string. What a strict reader reads is read so; whatever a string
/// says, what stands beside it is found. Returns whether the bytes were read, and a strict reader fails.
pub fn check(input: &[u8]) -> bool {
    let strict = serde_json::from_slice::<Value>(input);
    let read = read_json::<Value>(input);
    if let Ok(strict) = &strict {
        assert_eq!(read.as_ref().unwrap(), strict);
    }
    // A quote ends a string, and a backslash would hide the quote behind it.
    let within: Vec<u8> = input.iter().copied().filter(|byte| *byte != b'"').collect();
    let body = [b"{\"odd\":\"", &within[..], b" \",\"model\":\"m\"}"].concat();
    let found = read_json::<Value>(&body).unwrap();
    assert_eq!(found["model"], "m");
    assert!(found["odd"].is_string());
    let named = [b"{\"", &within[..], b" \":1,\"model\":\"m\"}"].concat();
    assert_eq!(read_json::<Value>(&named).unwrap()["model"], "m");
    strict.is_err() && read.is_ok()
}
