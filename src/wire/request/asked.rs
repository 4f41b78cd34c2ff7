//! Reads what a JSON request asks for.

mod text;

use std::{fmt, ops::Range, sync::Arc};

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use self::text::{Kind, Texts};
use super::model::{JsonStr, MaybeStr, is_model};
use crate::wire::json;

/// The size and model that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The model. If it is named more than once, the last one counts, as it does for the server.
    pub(crate) model: Option<Arc<str>>,
    /// Prompt size, in tokens.
    pub(crate) prompt: u64,
    /// Number of choices (`n`).
    pub(crate) choices: u32,
    /// Maximum tokens per choice (`max_tokens`, `max_completion_tokens`; the smaller of the two).
    pub(crate) most: Option<u64>,
}

impl Default for Asked {
    /// Assumed for a body that cannot be read.
    fn default() -> Self {
        Self {
            model: None,
            prompt: 0,
            choices: 1,
            most: None,
        }
    }
}

/// Counts the tokens of a text.
pub(crate) type Count<'a> = &'a dyn Fn(&str) -> u64;

/// Reads the JSON of a request. Unknown content counts as 0 tokens. Without `count` only the model is read.
pub(crate) fn asked(body: &[u8], count: Option<Count<'_>>) -> Asked {
    // Probably no JSON object: not worth the cost of an error.
    if json::first_byte(body) != Some(b'{') {
        return Asked::default();
    }
    let (mut asked, is_whole) = read(body, count);
    if !is_whole && count.is_some() {
        // A value that cannot be measured, for example because it is nested too deeply, must not hide the model.
        asked.model = read(body, None).0.model;
    }
    asked.model = asked.model.filter(|model| is_model(model));
    asked
}

/// Returns what was found, and whether the whole body was read.
fn read(body: &[u8], count: Option<Count<'_>>) -> (Asked, bool) {
    json::find(body, |text, (asked, is_whole): &mut (Asked, bool)| {
        let places = None;
        let body = ObjectReader {
            asked,
            count,
            places,
        };
        let read = serde_json::Deserializer::from_slice(text).deserialize_map(body);
        *is_whole = read.is_ok();
        read
    })
}

/// Reads a request's JSON object.
pub(super) struct ObjectReader<'a, 'de> {
    pub(super) asked: &'a mut Asked,
    pub(super) count: Option<Count<'a>>,
    /// The whole body, and the ranges in it that name the model. If set, a model that is not a string is an error.
    pub(super) places: Option<(&'de [u8], &'a mut Vec<Range<usize>>)>,
}

impl<'de> Visitor<'de> for ObjectReader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<JsonStr<'_>>()? {
            match (&*name.0, self.count) {
                ("model", _) => self.read_model(&mut map)?,
                (name, Some(count)) => self.read_size(name, count, &mut map)?,
                (_, None) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> ObjectReader<'_, 'de> {
    fn read_model<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let Some((body, places)) = &mut self.places else {
            let model = map.next_value::<MaybeStr<'_>>()?.0;
            self.asked.model = model.map(Into::into).or(self.asked.model.take());
            return Ok(());
        };
        let value = map.next_value::<&RawValue>()?.get();
        let model = serde_json::from_str::<JsonStr<'_>>(value).map_err(A::Error::custom)?;
        self.asked.model = Some(model.0.into());
        // The name borrows from the body, so its address gives its position.
        let start = value.as_ptr().addr() - body.as_ptr().addr();
        places.push(start..start + value.len());
        Ok(())
    }

    /// Reads a field that determines the size of the prompt or of the completions.
    fn read_size<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        count: Count<'_>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let asked = &mut *self.asked;
        let kind = match name {
            "messages" => Kind::Messages,
            "prompt" | "input" | "query" | "documents" => Kind::Data,
            "tools" | "functions" => Kind::Schema,
            "max_tokens" | "max_completion_tokens" => {
                let most = whole(&map.next_value()?);
                asked.most = asked.most.into_iter().chain(most).min();
                return Ok(());
            }
            "n" => {
                let n = whole(&map.next_value()?).unwrap_or(1);
                asked.choices = u32::try_from(n).unwrap_or(u32::MAX).max(1);
                return Ok(());
            }
            _ => return map.next_value::<IgnoredAny>().map(drop),
        };
        if kind == Kind::Messages {
            asked.prompt = asked.prompt.saturating_add(REPLY);
        }
        map.next_value_seed(Texts {
            kind,
            sum: &mut asked.prompt,
            count,
        })
    }
}

/// A whole number, given as a number or in a string.
fn whole(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let part = text.parse::<f64>().ok()?.fract();
    json::count(&text).filter(|_| part == 0.0)
}

/// Tokens of the header that starts the model's reply.
const REPLY: u64 = 4;

#[cfg(test)]
mod tests;
