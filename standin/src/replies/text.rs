//! Chat completions and completions, whole or as a stream.

use serde_json::{Value, json};

use super::{CREATED, Reply};
use crate::{Route, call::Call};

/// The answer to a chat or completion call: the same few words each time, one token per word,
/// cut at `max_tokens`.
pub(super) fn reply(call: &Call) -> Reply {
    let allowed = call.body["max_tokens"].as_u64().unwrap_or(u64::MAX).max(1);
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let words = &WORDS[..allowed.min(WORDS.len())];
    let finish = if words.len() < WORDS.len() {
        "length"
    } else {
        "stop"
    };
    let usage = usage(call, words.len());
    if call.body["stream"] == Value::Bool(true) {
        let last = words.len() - 1;
        let chunk = |(place, word): (usize, &&str)| {
            if place == last {
                event(call, word, json!(finish), &usage)
            } else {
                event(call, word, Value::Null, &Value::Null)
            }
        };
        return Reply::Events(words.iter().enumerate().map(chunk).collect());
    }
    let text = words.concat();
    let (object, choice) = match call.route {
        Route::Chat => (
            "chat.completion",
            json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}),
        ),
        _ => (
            "text.completion",
            json!({"index": 0, "text": text, "finish_reason": finish}),
        ),
    };
    Reply::Json(envelope(call, object, choice, &usage))
}

/// One chunk of a stream. The one with the finish reason also has the usage: the API does not
/// send a last chunk without choices, as OpenAI's does.
fn event(call: &Call, word: &str, finish: Value, usage: &Value) -> Value {
    let (object, choice) = match call.route {
        Route::Chat => (
            "chat.completion.chunk",
            json!({"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": finish}),
        ),
        _ => (
            "completion.chunk",
            json!({"index": 0, "text": word, "finish_reason": finish}),
        ),
    };
    envelope(call, object, choice, usage)
}

fn envelope(call: &Call, object: &str, choice: Value, usage: &Value) -> Value {
    json!({
        "id": call.id,
        "object": object,
        "created": CREATED,
        "model": call.model,
        "choices": [choice],
        "usage": usage,
    })
}

fn usage(call: &Call, completion: usize) -> Value {
    let prompt = letters(&call.body["messages"]) + letters(&call.body["prompt"]);
    // Four letters a token is what people reckon with when they have no tokenizer.
    let prompt = prompt.div_ceil(4).max(1);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cached_tokens": 0,
    })
}

/// The length of all text in a prompt, or in messages whose content may come in parts.
fn letters(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(parts) => parts.iter().map(letters).sum(),
        Value::Object(part) => ["content", "text"]
            .iter()
            .filter_map(|name| part.get(*name))
            .map(letters)
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

const WORDS: [&str; 6] = ["This", " is", " the", " stand-in", " speaking", "."];
