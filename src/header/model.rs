use std::{borrow::Cow, fmt, sync::Arc};

use super::json;
use serde::{
    Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// The `model` of a JSON body. Of several the last counts, as it does for who will serve the request.
pub(crate) fn model(body: &[u8]) -> Option<Arc<str>> {
    // Most likely no JSON object: not worth an error.
    if json::first_byte(body) != Some(b'{') {
        return None;
    }
    let found: Option<Arc<str>> = json::find(body, |body, found| {
        serde_json::Deserializer::from_slice(body).deserialize_map(Find(found))
    });
    found.filter(|model| is_model(model))
}

/// No model has another name; a longer one must not fill the memory.
pub(super) fn is_model(name: &str) -> bool {
    // A name with an odd character is unknown.
    (1..=LONGEST).contains(&name.len()) && !name.contains(char::REPLACEMENT_CHARACTER)
}

struct Find<'a>(&'a mut Option<Arc<str>>);

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'_>>()? {
            if name.0 == "model" {
                *self.0 = Some(map.next_value::<Name<'_>>()?.0.into());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A string, borrowed where it has no escapes.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bytes of a model's name.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn wherever_it_stands() {
        for (body, expected) in [
            (r#"{"model":"a/b","input":["x"]}"#, Some("a/b")),
            (
                r#" {"input":["x",{"model":"inner"}],"model":"a\/b"}"#,
                Some("a/b"),
            ),
            (r#"{"model":"a","broken"#, Some("a")),
            (r#"{"model":"a","model":"b"}"#, Some("b")),
            (r#"{"model":3}"#, None),
            (r#"{"model":""}"#, None),
            (r#"{"input":"model"}"#, None),
            (r#"["model"]"#, None),
            ("", None),
            ("--boundary", None),
        ] {
            assert_eq!(model(body.as_bytes()).as_deref(), expected, "{body}");
        }
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(LONGEST + 1));
        assert_eq!(model(long.as_bytes()), None);
        assert_eq!(model(b"{\"model\":\"\xff\"}"), None);
        assert_eq!(model("[".repeat(100_000).as_bytes()), None);
        let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
        assert_eq!(model(deep.as_bytes()), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("model|input|\\PC{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_a_whole_parse_finds(value in json()) {
            let expected = value
                .as_object()
                .and_then(|object| object.get("model")?.as_str())
                .filter(|model| is_model(model));
            let text = value.to_string();
            let found = model(text.as_bytes());
            prop_assert_eq!(found.as_deref(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, tail in "\\PC*") {
            let _ = model(&bytes);
            let _ = model(format!("{{\"model\":{tail}").as_bytes());
        }
    }
}
