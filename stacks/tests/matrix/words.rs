//! HTTP messages, in the API's format.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) type Outgoing = UnsyncBoxBody<Bytes, Infallible>;

/// A failure, in HTTP's terms.
#[derive(Clone, Copy)]
pub(crate) struct Fail {
    pub(crate) status: u16,
    pub(crate) wait: Option<Duration>,
}

impl Fail {
    pub(crate) fn http(self) -> Response<Outgoing> {
        let error = json!({"error": {"message": "not now", "type": "server", "code": "later"}});
        let mut response = whole(Bytes::from(error.to_string()));
        *response.status_mut() = self.status.try_into().unwrap();
        if let Some(wait) = self.wait {
            let millis = u64::try_from(wait.as_millis()).unwrap();
            response
                .headers_mut()
                .insert("retry-after-ms", millis.into());
        }
        response
    }
}

/// A response that is valid as a chat completion and as a transcription.
pub(crate) fn said(number: usize) -> Bytes {
    let text = format!("response {number}");
    let mut json = chunk(&text);
    let message = json!({"role": "assistant", "content": text});
    json["choices"] = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    json["usage"] = json!({
        "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
        "type": "duration", "seconds": 1,
    });
    Bytes::from(json.to_string())
}

fn chunk(text: &str) -> Value {
    let delta = json!({"role": "assistant", "content": text});
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    json!({
        "id": "1", "object": "chat", "created": 1, "model": "m",
        "choices": [choice], "text": text,
    })
}

pub(crate) fn whole(bytes: Bytes) -> Response<Outgoing> {
    let response = Response::builder().header("content-type", "application/json");
    response.body(Full::from(bytes).boxed_unsync()).unwrap()
}

pub(crate) fn streamed(pieces: mpsc::UnboundedReceiver<String>) -> Response<Outgoing> {
    let pieces = stream::unfold(pieces, async |mut pieces| {
        Some((pieces.recv().await?, pieces))
    });
    let events = pieces.map(|text| format!("data: {}\n\n", chunk(&text)));
    let events = events.chain(stream::iter(["data: [DONE]\n\n".to_owned()]));
    let frames = events.map(|event| Ok(Frame::data(Bytes::from(event))));
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(body).unwrap()
}

/// The text of a body: its message, its file, or all of it.
pub(crate) fn asked(headers: &HeaderMap, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let content = json["messages"][0]["content"].as_str();
        return content.unwrap_or_default().to_owned();
    }
    let kind = headers["content-type"].to_str().unwrap();
    let Some((_, boundary)) = kind.split_once("boundary=") else {
        return text.into_owned();
    };
    let (_, file) = text.split_once("filename=").unwrap();
    let (_, file) = file.split_once("\r\n\r\n").unwrap();
    let (file, _) = file.split_once(&format!("\r\n--{boundary}")).unwrap();
    file.to_owned()
}
