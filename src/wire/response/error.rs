//! Parses error responses, in every shape the API has.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Map, Value};

use super::wait::{duration, wait};
use crate::wire::{media::is_plain, read_json};
use crate::{
    clock,
    words::{ApiError, ErrorFields},
};

impl ApiError {
    /// Reads an error from a response's head and body, whatever they contain: it never fails.
    ///
    /// A compressed body (`content-encoding: gzip`, `br`) is not read. An encoding that changes nothing, such
    /// as `identity` or `UTF-8`, is ignored.
    pub fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::read(status, headers, body, wait(headers, clock::time_of_day))
    }

    /// Like [`parse`](Self::parse), with the wait that the headers ask for already known.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let body = if is_plain(headers) { body } else { &[] };
        let mut fields = ErrorFields {
            status,
            retry_after,
            ..ErrorFields::default()
        };
        match read_json(body) {
            Ok(Value::Object(object)) => read_object(&mut fields, &object),
            Ok(Value::String(text)) => fields.message = cut(&text, LONGEST_MESSAGE),
            _ => fields.message = cut(first_words(&String::from_utf8_lossy(body)), LONGEST_MESSAGE),
        }
        let id = [REQUEST_ID, TRACE_ID]
            .into_iter()
            .find_map(|name| said(headers.get(name)?.to_str().ok()?, LONGEST_NAME));
        fields.request_id = id.or(fields.request_id);
        fields.text = String::from_utf8_lossy(body).into_owned();
        Self(Arc::new(fields))
    }
}

/// Looks for each field inside an object `error` and beside it, since shapes differ.
fn read_object(fields: &mut ErrorFields, outer: &Map<String, Value>) {
    let inner = outer.get("error").and_then(Value::as_object);
    let places = [inner, Some(outer)].into_iter().flatten();
    let find = |names: &[&str], longest| {
        let mut found = places.clone().flat_map(|place| {
            let values = names.iter().filter_map(|name| place.get(*name));
            values.filter_map(|value| text(value, longest))
        });
        found.next()
    };
    fields.is_json = true;
    fields.kind = find(&["error_type"], LONGEST_NAME).or_else(|| find(&["type"], LONGEST_NAME));
    fields.code = find(&["code"], LONGEST_NAME);
    fields.request_id = find(&["request_id", "id"], LONGEST_NAME);
    let mut waits = WAITS.iter().filter_map(|(name, unit)| {
        let mut found = places.clone().filter_map(|place| place.get(*name));
        found.find_map(|value| duration(&text(value, LONGEST_NAME)?, *unit))
    });
    fields.retry_after = fields.retry_after.or_else(|| waits.next());
    // A bare string says more than the `message` beside it in old responses.
    let bare = outer.get("error").and_then(Value::as_str);
    fields.message = bare
        .and_then(|bare| said(bare, LONGEST_MESSAGE))
        .or_else(|| find(&["message", "detail"], LONGEST_MESSAGE))
        .unwrap_or_default();
    // A proxy's object with only a message is not an error of the API.
    let named = fields.kind.is_some() || fields.code.is_some();
    let is_error = inner.is_some() || bare.is_some() || named;
    fields.is_shaped = is_error && !fields.message.is_empty();
}

/// A non-empty string, or a number as text: codes come as either.
fn text(value: &Value, longest: usize) -> Option<String> {
    match value {
        Value::String(text) => said(text, longest),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The title of an HTML page, or the first line of a text.
fn first_words(body: &str) -> &str {
    let title = body.split_once("<title>").map(|(_, rest)| rest);
    if let Some((title, _)) = title.and_then(|rest| rest.split_once("</title>")) {
        return title.trim();
    }
    let line = body.trim_start().lines().next().unwrap_or_default().trim();
    // A page without a title, or truncated JSON, tells a reader nothing.
    if line.starts_with(['<', '{', '[']) {
        ""
    } else {
        line
    }
}

/// The cut text; `None` if it is empty.
fn said(text: &str, longest: usize) -> Option<String> {
    Some(cut(text, longest)).filter(|text| !text.is_empty())
}

/// Trims `text` and cuts it to `longest` bytes, at a character's end. Control characters become spaces.
fn cut(text: &str, longest: usize) -> String {
    let blank = |char: char| char.is_whitespace() || garbles(char);
    let text = text.trim_start_matches(blank);
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(blank).replace(garbles, " ")
}

/// Unicode's line and paragraph separators end a line too, but are not control characters.
fn garbles(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// The fields of a wait in JSON, in order of precedence, each with its unit in milliseconds. The first is
/// Cloudflare's (its errors 1015 and 522).
const WAITS: [(&str, f64); 4] = [
    ("retry_after", 1e3),
    ("retryAfter", 1e3),
    ("retry_after_seconds", 1e3),
    ("retry_after_ms", 1.0),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-together-traceid");

/// In bytes: longer than any message the API was seen to send, and short enough for a log.
const LONGEST_MESSAGE: usize = 2_048;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests;
