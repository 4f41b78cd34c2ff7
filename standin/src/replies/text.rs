//! Chat completions and completions, whole or as a stream.

use serde_json::{Value, json};

use super::reply::{CREATED, Reply, Shape};
use crate::{call::Call, route::Route, tokens::of_prompt};

/// The response to a chat or completion call: the same few words each time, one token per word,
/// cut at `max_tokens`.
pub(super) fn reply(call: &Call, shape: &Shape) -> Reply {
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
        return Reply::Events(events(call, words, finish, usage, shape));
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

/// The chunks of a stream. The one with the finish reason also has the usage: the API does not
/// send a last chunk without choices, as OpenAI's does, unless that is wanted.
fn events(call: &Call, words: &[&str], finish: &str, usage: Value, shape: &Shape) -> Vec<Value> {
    let mut chunks: Vec<_> = words
        .iter()
        .map(|word| event(call, word, Value::Null, &Value::Null))
        .collect();
    if let Some(last) = chunks.last_mut() {
        last["choices"][0]["finish_reason"] = finish.into();
        if shape.trailing_usage {
            let mut trailing = last.clone();
            trailing["choices"] = json!([]);
            trailing["usage"] = usage;
            chunks.push(trailing);
        } else {
            last["usage"] = usage;
        }
    }
    chunks
}

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
    let prompt = of_prompt(call);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion as u64,
        "cached_tokens": 0,
    })
}

const WORDS: [&str; 6] = ["This", " is", " the", " stand-in", " speaking", "."];
