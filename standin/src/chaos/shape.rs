//! The shapes of error bodies. The API itself has several, depending on which of its
//! parts fails. A proxy before it responds in HTML.

use serde_json::json;

use crate::answer::Answer;

/// `{"error":{"message","type","param","code"}}`
pub(super) fn object(status: u16, message: &str) -> Answer {
    let error = json!({"message": message, "type": kind(status), "param": null, "code": null});
    Answer::status(status).body(json!({"error": error}).to_string())
}

/// `{"error":"message"}`
pub(super) fn bare(status: u16, message: &str) -> Answer {
    Answer::status(status).body(json!({"error": message}).to_string())
}

/// `{"message","type","param","code"}`
pub(super) fn flat(status: u16, message: &str) -> Answer {
    let error = json!({"message": message, "type": kind(status), "param": null, "code": null});
    Answer::status(status).body(error.to_string())
}

/// A page for people.
pub(super) fn html(status: u16, message: &str) -> Answer {
    let title = format!("<title>{status}: {message}</title>");
    let heading = format!("<h1>Error {status}</h1><p>{message}</p>");
    Answer::status(status)
        .header("content-type", "text/html; charset=UTF-8")
        .body(format!(
            "<!DOCTYPE html>\n<html><head>{title}</head><body>{heading}</body></html>\n"
        ))
}

fn kind(status: u16) -> &'static str {
    match status {
        429 => "dynamic_request_limited",
        400..500 => "invalid_request_error",
        _ => "server_error",
    }
}
