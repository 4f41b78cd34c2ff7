//! Counts the tokens of a prompt's texts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Count;
use crate::wire::request::model::JsonStr;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The list of messages, or one message.
    Messages,
    /// A message's content: a text, or parts, some of which are texts.
    Content,
    /// Every text and number counts.
    Data,
    /// Like `Data`, but field names count too.
    Schema,
}

/// Adds the tokens of a value to `sum`; `count` measures its texts.
pub(super) struct Texts<'a> {
    pub(super) kind: Kind,
    pub(super) sum: &'a mut u64,
    pub(super) count: Count<'a>,
}

impl Texts<'_> {
    fn add(&mut self, tokens: u64) {
        *self.sum = self.sum.saturating_add(tokens);
    }

    fn visit_one<E>(mut self) -> Result<(), E> {
        self.add(1);
        Ok(())
    }

    fn within(&mut self, kind: Kind) -> Texts<'_> {
        Texts {
            kind,
            sum: self.sum,
            count: self.count,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        let tokens = if is_data(text) {
            MEDIA
        } else {
            (self.count)(text)
        };
        self.add(tokens);
        Ok(())
    }

    // A number is a token id, or a text of about one token.
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
        while let Some(name) = map.next_key::<JsonStr<'_>>()? {
            let kind = match (self.kind, &*name.0) {
                (Kind::Messages, "content") | (Kind::Content, "text") => Some(Kind::Content),
                (Kind::Messages, "role") => None,
                (Kind::Messages | Kind::Data, _) => Some(Kind::Data),
                (Kind::Content, name) => {
                    if name.ends_with("_url") || PARTS.contains(&name) {
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

/// Whether `text` is base64-encoded media, which a model does not read as text.
///
/// Long runs of letters or digits without a space, such as a gene sequence, are mistaken for media. Such a request is
/// charged too little until its response reports the real usage. Counted as text, a picture would never fit a
/// token limit.
fn is_data(text: &str) -> bool {
    let url = text.strip_prefix("data:");
    let data = url.and_then(|url| Some(url.split_once(";base64,")?.1));
    let head = data.unwrap_or(text).as_bytes().get(..LONG);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    head.is_some_and(|head| head.iter().all(is_base64))
}

/// Minimum length of media in base64, in bytes: shorter than the smallest picture, longer than any word.
const LONG: usize = 1_024;
/// Types of message parts that are not text, beside those ending in `_url`.
const PARTS: [&str; 5] = ["input_audio", "audio", "image", "video", "file"];

/// Tokens around a message: five in the chat templates of Llama 3 and of Qwen.
pub(super) const MESSAGE: u64 = 5;
/// Tokens around each name in a tool's schema.
pub(super) const PUNCTUATION: u64 = 2;
/// Tokens of a picture of up to 1120 pixels in Llama's vision models: 1,601, as Together's pricing of vision
/// counted it. Sound and video are assumed to cost the same.
pub(super) const MEDIA: u64 = 1_601;
