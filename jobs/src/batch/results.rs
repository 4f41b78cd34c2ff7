//! The files that a batch has made, read.

use std::collections::HashMap;

use serde_json::Value;
use tower_together::jobs::read_json;

/// What came of a line, by its `custom_id`: the answer, or in words why it failed.
pub(super) type Results = HashMap<String, Result<Value, String>>;

/// Reads a file of answers, or of errors. What is no line of either is passed over, and so will be named
/// as missing.
pub(super) fn read(file: &[u8], results: &mut Results) {
    for line in file.split(|byte| *byte == b'\n') {
        let Ok(Value::Object(mut line)) = read_json(line) else {
            continue;
        };
        let Some(Value::String(id)) = line.remove("custom_id") else {
            continue;
        };
        let answer = line.remove("response").and_then(answer);
        let error = || line.get("error").filter(|error| !error.is_null());
        if let Some(result) = answer.or_else(|| error().map(|error| Err(words(error)))) {
            // A line is in one file only; were it in both, the answer is what was paid for.
            let has_answer = results.get(&id).is_some_and(Result::is_ok);
            if !has_answer {
                results.insert(id, result);
            }
        }
    }
}

/// The body of a response, which may be an error too.
fn answer(response: Value) -> Option<Result<Value, String>> {
    let Value::Object(mut response) = response else {
        return None;
    };
    let status = response.get("status_code").and_then(Value::as_u64);
    let body = response.remove("body")?;
    match status.unwrap_or(200) {
        200..300 => Some(Ok(body)),
        status => Some(Err(format!("{status}: {}", words(&body)))),
    }
}

/// What an error says, in whichever shape.
fn words(error: &Value) -> String {
    let inner = &error["error"];
    let places = [&error["message"], &inner["message"], inner, error];
    let said = places.into_iter().find_map(Value::as_str);
    said.map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_in_each_shape_and_nothing_else() {
        let mut results = Results::new();
        read(
            br#"{"custom_id":"a","response":{"status_code":200,"body":{"id":1}}}
{"custom_id":"b","response":{"status_code":422,"body":{"error":{"message":"too long"}}}}

{"custom_id":"c","response":null,"error":{"code":"batch_client_error","message":"no"}}
{"custom_id":"d","error":"gone"}
{"custom_id":"e","response":{},"error":null}
{"custom_id":"f","resp
[]
{"response":{"body":{}}}"#,
            &mut results,
        );
        read(br#"{"custom_id":"a","error":"late"}"#, &mut results);
        let mut all: Vec<_> = results.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let all: Vec<_> = all
            .iter()
            .map(|(id, result)| match result {
                Ok(body) => format!("{id} {body}"),
                Err(why) => format!("{id} {why}"),
            })
            .collect();
        assert_eq!(all, [r#"a {"id":1}"#, "b 422: too long", "c no", "d gone"]);
    }

    /// A model's answer may end within an emoji.
    #[test]
    fn a_line_is_read_whatever_stands_in_it() {
        let members = r#""custom_id":"a","response":{"status_code":200,"body":{"id":1}}"#;
        for body in together_standin::odd_bodies(members) {
            // A line's end ends it.
            if !body.contains(&b'\n') {
                let mut results = Results::new();
                read(&body, &mut results);
                let expected = Ok(serde_json::json!({"id": 1}));
                assert_eq!(results.get("a"), Some(&expected), "{}", body.escape_ascii());
            }
        }
    }
}
