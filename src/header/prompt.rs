//! How large a prompt is, from the JSON that asks for its answer.

mod text;

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use self::text::{Kind, Text};
use super::json;

/// What a request asks a model for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of the prompt, in tokens.
    pub(crate) prompt: u64,
    /// How many answers (`n`).
    pub(crate) answers: u32,
    /// How long each may be (`max_tokens`, `max_completion_tokens`; the smaller of the two).
    pub(crate) most: Option<u64>,
}

impl Default for Asked {
    /// What is assumed of a body that cannot be read.
    fn default() -> Self {
        Self {
            prompt: 0,
            answers: 1,
            most: None,
        }
    }
}

/// Reads the JSON of a chat, completion, embeddings or rerank request, whose texts `count` measures.
/// What is not understood counts nothing.
pub(crate) fn asked(body: &[u8], count: impl Fn(&str) -> u64) -> Asked {
    json::find(body, |body, asked| {
        let count = &count;
        serde_json::Deserializer::from_slice(body).deserialize_map(Body { asked, count })
    })
}

struct Body<'a, F> {
    asked: &'a mut Asked,
    count: &'a F,
}

impl<'de, F: Fn(&str) -> u64> Visitor<'de> for Body<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let asked = self.asked;
        while let Some(name) = map.next_key::<String>()? {
            let kind = match name.as_str() {
                "messages" => Kind::Messages,
                "prompt" | "input" | "query" | "documents" => Kind::Data,
                "tools" | "functions" => Kind::Schema,
                "max_tokens" | "max_completion_tokens" => {
                    let most = whole(&map.next_value()?);
                    asked.most = asked.most.into_iter().chain(most).min();
                    continue;
                }
                "n" => {
                    let n = whole(&map.next_value()?).unwrap_or(1);
                    asked.answers = u32::try_from(n).unwrap_or(u32::MAX).max(1);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if kind == Kind::Messages {
                asked.prompt = asked.prompt.saturating_add(REPLY);
            }
            let count = self.count;
            map.next_value_seed(Text {
                kind,
                sum: &mut asked.prompt,
                count,
            })?;
        }
        Ok(())
    }
}

/// A whole number, as a number or in a string.
fn whole(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let part = text.parse::<f64>().ok()?.fract();
    json::count(&text).filter(|_| part == 0.0)
}

/// The marks that the model's answer begins after.
const REPLY: u64 = 4;

#[cfg(test)]
mod tests;
