//! How large a prompt is, from the JSON that asks for its answer.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The list of messages, or one of them.
    Messages,
    /// What a message says: a text, or parts of which some are.
    Content,
    /// Every text and number in it counts.
    Data,
    /// The names count too.
    Schema,
}

struct Text<'a, F> {
    kind: Kind,
    sum: &'a mut u64,
    count: &'a F,
}

impl<F> Text<'_, F> {
    fn add(&mut self, tokens: u64) {
        *self.sum = self.sum.saturating_add(tokens);
    }

    fn visit_one<E>(mut self) -> Result<(), E> {
        self.add(1);
        Ok(())
    }

    fn within(&mut self, kind: Kind) -> Text<'_, F> {
        Text {
            kind,
            sum: self.sum,
            count: self.count,
        }
    }
}

impl<'de, F: Fn(&str) -> u64> DeserializeSeed<'de> for Text<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: Fn(&str) -> u64> Visitor<'de> for Text<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.add((self.count)(text));
        Ok(())
    }

    // A number is a token by its id, or about as much text.
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.visit_one()
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.visit_one()
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.visit_one()
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.visit_one()
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let kind = self.kind;
        while seq.next_element_seed(self.within(kind))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.kind == Kind::Messages {
            self.add(MESSAGE);
        }
        while let Some(name) = map.next_key::<String>()? {
            let kind = match (self.kind, name.as_str()) {
                (Kind::Messages, "content") | (Kind::Content, "text") => Some(Kind::Content),
                (Kind::Messages, "role") => None,
                (Kind::Messages | Kind::Data, _) => Some(Kind::Data),
                (Kind::Content, name) => {
                    if name.ends_with("_url") || name == "input_audio" {
                        self.add(MEDIA);
                    }
                    None
                }
                (Kind::Schema, name) => {
                    self.add((self.count)(name).saturating_add(PUNCTUATION));
                    Some(Kind::Schema)
                }
            };
            match kind {
                Some(kind) => map.next_value_seed(self.within(kind))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The marks around a message: five in the chat templates of Llama 3 and of Qwen.
const MESSAGE: u64 = 5;
/// The marks that the model's answer begins after.
const REPLY: u64 = 4;
/// Around each name in a tool's schema.
const PUNCTUATION: u64 = 2;
/// A picture of up to 1120 pixels to Llama's vision models: 1,601 tokens, as Together's pricing of
/// vision counted it. Sound and film are taken for as much.
const MEDIA: u64 = 1_601;

#[cfg(test)]
mod tests;
