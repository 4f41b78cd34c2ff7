//! What the JSON of a request asks for.

mod text;

use std::{fmt, ops::Range, sync::Arc};

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use self::text::{Kind, Texts};
use super::model::{Name, Text, is_model};
use crate::wire::json;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of which model. Of several the last counts, as it does for who will serve the request.
    pub(crate) model: Option<Arc<str>>,
    /// How large the prompt is, in tokens.
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
            model: None,
            prompt: 0,
            answers: 1,
            most: None,
        }
    }
}

/// How many tokens a text is.
pub(crate) type Count<'a> = &'a dyn Fn(&str) -> u64;

/// Reads the JSON of a request. What is not understood counts nothing. Without `count` only the model is read.
pub(crate) fn asked(body: &[u8], count: Option<Count<'_>>) -> Asked {
    // Most likely no JSON object: not worth an error.
    if json::first_byte(body) != Some(b'{') {
        return Asked::default();
    }
    let (mut asked, is_whole) = read(body, count);
    if !is_whole && count.is_some() {
        // A value that cannot be measured, such as one that is nested too deeply, hides no model behind it.
        asked.model = read(body, None).0.model;
    }
    asked.model = asked.model.filter(|model| is_model(model));
    asked
}

/// What is found, and whether it is all there is.
fn read(body: &[u8], count: Option<Count<'_>>) -> (Asked, bool) {
    json::find(body, |text, (asked, is_whole): &mut (Asked, bool)| {
        let places = None;
        let body = Body {
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
pub(super) struct Body<'a, 'de> {
    pub(super) asked: &'a mut Asked,
    pub(super) count: Option<Count<'a>>,
    /// The whole body, and where in it the model is named. A model that is no string is an error then.
    pub(super) places: Option<(&'de [u8], &'a mut Vec<Range<usize>>)>,
}

impl<'de> Visitor<'de> for Body<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'_>>()? {
            match (&*name.0, self.count) {
                ("model", _) => self.read_model(&mut map)?,
                (name, Some(count)) => self.read_size(name, count, &mut map)?,
                (_, None) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> Body<'_, 'de> {
    fn read_model<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let Some((body, places)) = &mut self.places else {
            let model = map.next_value::<Text<'_>>()?.0;
            self.asked.model = model.map(Into::into).or(self.asked.model.take());
            return Ok(());
        };
        let value = map.next_value::<&RawValue>()?.get();
        let model = serde_json::from_str::<Name<'_>>(value).map_err(A::Error::custom)?;
        self.asked.model = Some(model.0.into());
        // It is a piece of the body: where it lies there is where it is.
        let start = value.as_ptr().addr() - body.as_ptr().addr();
        places.push(start..start + value.len());
        Ok(())
    }

    /// Reads what says how large the prompt is, or the answers are.
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
                asked.answers = u32::try_from(n).unwrap_or(u32::MAX).max(1);
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
