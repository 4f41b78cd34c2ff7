//! What an error answer says, in every shape the API has.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Map, Value};

use super::wait::{duration, wait};
use crate::wire::{media::is_plain, read_json};
use crate::{
    clock,
    words::{ApiError, Told},
};

impl ApiError {
    /// Reads an error from an answer's head and body, whatever it is: nothing makes it fail.
    ///
    /// A compressed body (`content-encoding: gzip`, `br`) is not read. An encoding that changes nothing, such
    /// as `identity` or `UTF-8`, does not count.
    pub fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::told(status, headers, body, wait(headers, clock::time_of_day))
    }

    /// The same, where it is known already what the headers say of waiting.
    pub(crate) fn told(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let body = if is_plain(headers) { body } else { &[] };
        let mut told = Told {
            status,
            retry_after,
            ..Told::default()
        };
        match read_json(body) {
            Ok(Value::Object(object)) => read_object(&mut told, &object),
            Ok(Value::String(text)) => told.message = cut(&text, LONGEST_MESSAGE),
            _ => told.message = cut(first_words(&String::from_utf8_lossy(body)), LONGEST_MESSAGE),
        }
        let id = [REQUEST_ID, TRACE_ID]
            .into_iter()
            .find_map(|name| said(headers.get(name)?.to_str().ok()?, LONGEST_NAME));
        told.request_id = id.or(told.request_id);
        told.text = String::from_utf8_lossy(body).into_owned();
        Self(Arc::new(told))
    }
}

/// Looks for each field where one shape or another has it: in an object `error`, or beside it.
fn read_object(told: &mut Told, outer: &Map<String, Value>) {
    let inner = outer.get("error").and_then(Value::as_object);
    let places = [inner, Some(outer)].into_iter().flatten();
    let find = |names: &[&str], longest| {
        let mut found = places.clone().flat_map(|place| {
            let values = names.iter().filter_map(|name| place.get(*name));
            values.filter_map(|value| text(value, longest))
        });
        found.next()
    };
    told.is_json = true;
    told.kind = find(&["error_type"], LONGEST_NAME).or_else(|| find(&["type"], LONGEST_NAME));
    told.code = find(&["code"], LONGEST_NAME);
    told.request_id = find(&["request_id", "id"], LONGEST_NAME);
    let mut waits = WAITS.iter().filter_map(|(name, unit)| {
        let mut found = places.clone().filter_map(|place| place.get(*name));
        found.find_map(|value| duration(&text(value, LONGEST_NAME)?, *unit))
    });
    told.retry_after = told.retry_after.or_else(|| waits.next());
    // A bare string says more than the `message` that old answers have beside it.
    let bare = outer.get("error").and_then(Value::as_str);
    told.message = bare
        .and_then(|bare| said(bare, LONGEST_MESSAGE))
        .or_else(|| find(&["message", "detail"], LONGEST_MESSAGE))
        .unwrap_or_default();
    // A proxy's object with a message alone is none of the API's.
    let named = told.kind.is_some() || told.code.is_some();
    let is_error = inner.is_some() || bare.is_some() || named;
    told.is_shaped = is_error && !told.message.is_empty();
}

/// Strings that say something, and numbers as such: a code is one or the other.
fn text(value: &Value, longest: usize) -> Option<String> {
    match value {
        Value::String(text) => said(text, longest),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Of a page its title, of a text its first line.
fn first_words(body: &str) -> &str {
    let title = body.split_once("<title>").map(|(_, rest)| rest);
    if let Some((title, _)) = title.and_then(|rest| rest.split_once("</title>")) {
        return title.trim();
    }
    let line = body.trim_start().lines().next().unwrap_or_default().trim();
    // A page without a title, or a stump of JSON, says nothing to a reader.
    if line.starts_with(['<', '{', '[']) {
        ""
    } else {
        line
    }
}

/// What is left of it, if anything is.
fn said(text: &str, longest: usize) -> Option<String> {
    Some(cut(text, longest)).filter(|text| !text.is_empty())
}

/// At most so many bytes, in whole letters, without what would garble a line.
fn cut(text: &str, longest: usize) -> String {
    let blank = |char: char| char.is_whitespace() || garbles(char);
    let text = text.trim_start_matches(blank);
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(blank).replace(garbles, " ")
}

/// Unicode's line and paragraph separators end a line too, and count as no control characters.
fn garbles(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// The names that a wait has in JSON, in the order in which they count, each with its unit in milliseconds.
/// The first is Cloudflare's (its errors 1015 and 522).
const WAITS: [(&str, f64); 4] = [
    ("retry_after", 1e3),
    ("retryAfter", 1e3),
    ("retry_after_seconds", 1e3),
    ("retry_after_ms", 1.0),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-together-traceid");

/// Longer than any message the API was seen to send, and short enough for a log.
const LONGEST_MESSAGE: usize = 2_048;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests;
