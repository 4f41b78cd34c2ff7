//! How many tokens a request is about, as far as that can be told without a tokenizer.

use serde_json::Value;

use crate::call::Call;

/// The charge for a request before its response: the tokens of its prompt, and its `max_tokens` if
/// it has one.
pub(crate) fn estimate(call: &Call) -> u64 {
    let response = call.body["max_tokens"].as_u64().unwrap_or(0);
    prompt(call, str::len).saturating_add(response.min(MOST))
}

/// The tokens that the prompt is reported to have.
pub(crate) fn of_prompt(call: &Call) -> u64 {
    prompt(call, |text| text.chars().count())
}

/// Four letters a token is what people reckon with when they have no tokenizer.
fn prompt(call: &Call, length: fn(&str) -> usize) -> u64 {
    let places = ["messages", "prompt", "input"].iter();
    let letters: usize = places.map(|place| measure(&call.body[place], length)).sum();
    letters.div_ceil(4).max(1) as u64
}

/// The length of all text in a prompt, or in messages whose content may come in parts.
fn measure(value: &Value, length: fn(&str) -> usize) -> usize {
    match value {
        Value::String(text) => length(text),
        Value::Array(parts) => parts.iter().map(|part| measure(part, length)).sum(),
        Value::Object(part) => ["content", "text"]
            .iter()
            .filter_map(|name| part.get(*name))
            .map(|value| measure(value, length))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// More than any model gives, and little enough to count with.
const MOST: u64 = 1 << 32;
