//! The files that a batch has made, read.

use std::collections::HashMap;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use tower_together::{ApiError, jobs::read_json};

use super::outcome::Reason;
use crate::failure::Failure;

/// The results of lines, by their `custom_id`.
pub(super) type Results = HashMap<String, Result<Value, Reason>>;

/// Reads a file of responses, or of errors. Ignores a line that names no request.
pub(super) fn read(file: &[u8], results: &mut Results) {
    for text in file.split(|byte| *byte == b'\n') {
        let line = match read_json(text) {
            Ok(Value::Object(line)) => Some(line),
            _ => None,
        };
        let id = match &line {
            Some(line) => line.get("custom_id").and_then(Value::as_str),
            None => id_of(text),
        };
        let Some(id) = id.map(str::to_owned) else {
            continue;
        };
        let result = line.and_then(result).unwrap_or_else(|| {
            let line = String::from_utf8_lossy(text).into_owned();
            Err(Reason::Unreadable { line })
        });
        // A line is in one file only; were it in both, the response is what was paid for.
        let has_response = results.get(&id).is_some_and(Result::is_ok);
        if !has_response {
            results.insert(id, result);
        }
    }
}

/// The `custom_id` of a line that is no JSON, such as one that was cut short.
fn id_of(text: &[u8]) -> Option<&str> {
    let name = b"\"custom_id\"";
    let at = text.windows(name.len()).position(|part| part == name)?;
    let rest = text[at + name.len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// The response or the error of a line; `None` if it has neither.
fn result(mut line: Map<String, Value>) -> Option<Result<Value, Reason>> {
    if let Some(Value::Object(mut response)) = line.remove("response") {
        let status = response.get("status_code").and_then(status);
        let body = response.remove("body").filter(|body| !body.is_null());
        let is_error = |body: &Value| body.get("error").is_some_and(|error| !error.is_null());
        match (status, body) {
            (Some(status), body) if !status.is_success() => {
                return Some(Err(failed(Some(status), &body.unwrap_or_default())));
            }
            (None, Some(body)) if is_error(&body) => return Some(Err(failed(None, &body))),
            (_, Some(body)) => return Some(Ok(body)),
            (_, None) => {}
        }
    }
    let error = line.remove("error").filter(|error| !error.is_null())?;
    Some(Err(failed(None, &error)))
}

/// Why a line failed. A status, or one of OpenAI's codes, tells whether that may pass.
fn failed(said: Option<StatusCode>, error: &Value) -> Reason {
    let inner = match &error["error"] {
        inner @ Value::Object(_) => inner,
        _ => error,
    };
    let named = || ["status_code", "status", "code"].into_iter();
    let status = said.or_else(|| named().find_map(|name| status(&inner[name])));
    let transient = match status {
        Some(status) => {
            let body = error.to_string();
            ApiError::parse(status, &HeaderMap::new(), body.as_bytes()).is_transient()
        }
        None => inner["code"]
            .as_str()
            .is_some_and(|code| TRANSIENT.contains(&code)),
    };
    let words = match said {
        Some(status) => format!("{}: {}", status.as_u16(), words(error)),
        None => words(error),
    };
    Reason::Failed(Failure::of_line(status, transient, words))
}

/// A status, as a number or as text.
fn status(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    StatusCode::from_u16(number? as u16).ok()
}

/// The codes of OpenAI's batches whose requests were not executed, or not in time (`BatchRequestOutput` of its
/// OpenAPI specification).
const TRANSIENT: [&str; 3] = ["batch_expired", "batch_cancelled", "request_timeout"];

/// The message of an error in any shape; empty if it has none.
pub(super) fn words(error: &Value) -> String {
    if error.is_null() {
        return String::new();
    }
    let inner = &error["error"];
    let places = [&error["message"], &inner["message"], inner, error];
    let said = places.into_iter().find_map(Value::as_str);
    said.map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(files: &[&str]) -> Vec<String> {
        let mut results = Results::new();
        for file in files {
            read(file.as_bytes(), &mut results);
        }
        let say = |(id, result): (String, _)| match result {
            Ok(body) => format!("{id} {body}"),
            Err(Reason::Unreadable { line }) => format!("{id} unreadable {}", line.len()),
            Err(Reason::Failed(failure)) if failure.is_transient() => {
                format!("{id} transient {failure}")
            }
            Err(Reason::Failed(failure)) => format!("{id} final {failure}"),
            Err(other) => panic!("{other:?}"),
        };
        let mut all: Vec<_> = results.into_iter().map(say).collect();
        all.sort();
        all
    }

    #[test]
    fn responses_and_errors_in_each_shape() {
        let file = r#"{"custom_id":"a","response":{"status_code":200,"body":{"id":1}}}
{"custom_id":"b","response":{"status_code":422,"body":{"error":{"message":"too long"}}}}

{"custom_id":"c","response":null,"error":{"code":"batch_client_error","message":"no"}}
{"custom_id":"d","error":"gone"}
{"custom_id":"e","response":{"body":{"error":{"message":"wrong"}}}}
[]
{"response":{"body":{}}}"#;
        let late = r#"{"custom_id":"a","error":"late"}"#;
        assert_eq!(
            all(&[file, late]),
            [
                r#"a {"id":1}"#,
                "b final 422: too long",
                "c final no",
                "d final gone",
                "e final wrong"
            ]
        );
    }

    /// Lines with 503, 429 and `batch_expired` were final.
    #[test]
    fn a_line_whose_failure_is_transient_may_be_retried() {
        for (says, transient) in [
            (r#""response":{"status_code":503,"body":{}}"#, true),
            (r#""response":{"status_code":"503","body":{}}"#, true),
            (r#""response":{"status_code":429,"body":null}"#, true),
            (r#""response":{"status_code":429.0}"#, true),
            (r#""response":{"status_code":500,"body":"<html>"}"#, true),
            (r#""response":{"status_code":401,"body":{}}"#, false),
            (r#""response":{"status_code":402,"body":{}}"#, false),
            (
                r#""response":{"status_code":429,"body":{"error":{"code":"insufficient_quota"}}}"#,
                false,
            ),
            (r#""error":{"code":"batch_expired"}"#, true),
            (r#""error":{"code":"batch_cancelled"}"#, true),
            (r#""error":{"code":"request_timeout"}"#, true),
            (r#""error":{"code":429,"message":"slower"}"#, true),
            (r#""error":{"code":"batch_client_error"}"#, false),
            (r#""error":{"status":401}"#, false),
        ] {
            let said = all(&[&format!(r#"{{"custom_id":"a",{says}}}"#)]).remove(0);
            assert!(
                said.starts_with(if transient { "a transient" } else { "a final" }),
                "{says}: {said}"
            );
        }
    }

    /// A line that is no response was reported as "send it again", though it was paid for.
    #[test]
    fn a_line_that_cannot_be_read_is_named_with_its_text() {
        for line in [
            r#"{"custom_id":"a","response":{"body":{"id":1"#,
            r#"{"custom_id" : "a","response":{"#,
            r#"{"custom_id":"a","response":{},"error":null}"#,
            r#"{"custom_id":"a","response":{"status_code":200,"body":null}}"#,
            r#"{"custom_id":"a","response":"ok"}"#,
            r#"{"custom_id":"a"}"#,
            r#"{"response":[{"id":1},"custom_id":"a"}"#,
        ] {
            assert_eq!(
                all(&[line]),
                [format!("a unreadable {}", line.len())],
                "{line}"
            );
        }
        let deep = format!(r#"{{"custom_id":"a","response":{}"#, "[".repeat(1_000));
        assert_eq!(all(&[&deep]), [format!("a unreadable {}", deep.len())]);
        let nobody = [
            r#"{"custom_id":"#,
            r#"{"custom_id":7}"#,
            "<html>",
            "\"custom_id\"",
        ];
        assert!(all(&nobody).is_empty());
    }

    /// Python's `json.dumps` writes `NaN`, and a model's response may end within an emoji.
    #[test]
    fn an_odd_value_in_a_response_is_null_and_half_an_emoji_u_fffd() {
        for (odd, read) in [
            ("NaN", "null"),
            ("-Infinity", "null"),
            ("1e999", "null"),
            (r#""\ud83d""#, "\"\u{fffd}\""),
        ] {
            let line = format!(r#"{{"custom_id":"a","response":{{"body":{{"x":{odd}}}}}}}"#);
            assert_eq!(all(&[&line]), [format!(r#"a {{"x":{read}}}"#)]);
        }
    }

    #[test]
    fn a_line_is_read_whatever_stands_in_it() {
        let members = r#""custom_id":"a","response":{"status_code":200,"body":{"id":1}}"#;
        for body in testing::odd_bodies(members) {
            // A line's end ends it.
            if !body.contains(&b'\n') {
                let mut results = Results::new();
                read(&body, &mut results);
                let expected = serde_json::json!({"id": 1});
                let read = results.remove("a").unwrap();
                assert_eq!(read.unwrap(), expected, "{}", body.escape_ascii());
            }
        }
    }
}
