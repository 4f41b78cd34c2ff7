//! What an error answer says, in every shape the API has.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_ENCODING};
use serde_json::{Map, Value};

use super::wait;
use crate::{
    clock,
    words::{ApiError, Told},
};

impl ApiError {
    /// Reads an error from an answer's head and body, whatever it is: nothing makes it fail.
    ///
    /// Of a body that is compressed nothing is read.
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
        let encoded = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding != "identity");
        let body = if encoded { &[] } else { body };
        let mut told = Told {
            status,
            retry_after,
            ..Told::default()
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => read_object(&mut told, &object),
            Ok(Value::String(text)) => told.message = cut(&text, LONGEST_MESSAGE),
            _ => told.message = cut(first_words(&String::from_utf8_lossy(body)), LONGEST_MESSAGE),
        }
        let id = [REQUEST_ID, TRACE_ID]
            .into_iter()
            .find_map(|name| headers.get(name));
        if let Some(id) = id.and_then(|id| id.to_str().ok()) {
            told.request_id = Some(cut(id, LONGEST_NAME));
        }
        told.text = String::from_utf8_lossy(body).into_owned();
        Self(Arc::new(told))
    }
}

/// Looks for each field where one shape or another has it: in an object `error`, or beside it.
fn read_object(told: &mut Told, outer: &Map<String, Value>) {
    let inner = outer.get("error").and_then(Value::as_object);
    let places = [inner, Some(outer)].into_iter().flatten();
    let find = |names: &[&str]| {
        let mut found = places
            .clone()
            .flat_map(|place| names.iter().filter_map(|name| text(place.get(*name)?)));
        found.next()
    };
    told.is_json = true;
    let kind = find(&["error_type"]).or_else(|| find(&["type"]));
    told.kind = kind.map(|kind| cut(&kind, LONGEST_NAME));
    told.code = find(&["code"]).map(|code| cut(&code, LONGEST_NAME));
    told.request_id = find(&["request_id", "id"]).map(|id| cut(&id, LONGEST_NAME));
    // A bare string says more than the `message` that old answers have beside it.
    let bare = outer.get("error").and_then(Value::as_str);
    let message = bare
        .map(str::to_owned)
        .or_else(|| find(&["message", "detail"]));
    told.message = message.map_or_else(String::new, |message| cut(&message, LONGEST_MESSAGE));
}

/// Strings, and numbers as such: a code is one or the other.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
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

/// At most so many bytes, in whole letters, without what would garble a line.
fn cut(text: &str, longest: usize) -> String {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().replace(char::is_control, " ")
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-together-traceid");

/// Longer than any message the API was seen to send, and short enough for a log.
const LONGEST_MESSAGE: usize = 2_048;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests;
