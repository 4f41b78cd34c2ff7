//! Finds where a JSON body names its model, to replace the name.

use std::{ops::Range, sync::Arc};

use serde::Deserializer as _;

use super::{
    asked::{Asked, ObjectReader},
    model::is_model,
};
use crate::wire::json;

/// The positions of the `model` in a JSON object: one, unless the field is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelPlaces {
    model: Arc<str>,
    places: Vec<Range<usize>>,
}

impl ModelPlaces {
    /// `None` unless the body is a complete JSON object whose model is a string.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        // Probably no JSON object: not worth the cost of an error.
        if json::first_byte(body) != Some(b'{') {
            return None;
        }
        let text = body.strip_prefix(json::MARK).unwrap_or(body);
        let mut json = serde_json::Deserializer::from_slice(text);
        let (mut asked, mut places) = (Asked::default(), Vec::new());
        json.deserialize_map(ObjectReader {
            asked: &mut asked,
            count: None,
            places: Some((body, &mut places)),
        })
        .ok()?;
        json.end().ok()?;
        let model = asked.model.filter(|model| is_model(model))?;
        Some(Self { model, places })
    }

    /// The model. If the field is repeated, the last one counts, as it does for the server.
    pub(crate) fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// Returns `body`, in which these places were found, with its model replaced everywhere. All other bytes are
    /// unchanged.
    pub(crate) fn rename(&self, body: &[u8], model: &str) -> Vec<u8> {
        let model = serde_json::Value::from(model).to_string();
        let mut renamed = Vec::with_capacity(body.len() + self.places.len() * model.len());
        let mut from = 0;
        for place in &self.places {
            renamed.extend_from_slice(&body[from..place.start]);
            renamed.extend_from_slice(model.as_bytes());
            from = place.end;
        }
        renamed.extend_from_slice(&body[from..]);
        renamed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn renamed(body: &str, model: &str) -> Option<String> {
        let places = ModelPlaces::find(body.as_bytes())?;
        Some(String::from_utf8(places.rename(body.as_bytes(), model)).unwrap())
    }

    #[test]
    fn only_the_model_is_another_one() {
        for (body, expected) in [
            (r#"{"model":"a","n":1}"#, r#"{"model":"b","n":1}"#),
            (
                "\n{ \"n\" : 1.50e0,\t\"model\" :  \"a\\/\\u0061\" , \"x\":{\"model\":\"a\"} } \r\n",
                "\n{ \"n\" : 1.50e0,\t\"model\" :  \"b\" , \"x\":{\"model\":\"a\"} } \r\n",
            ),
            (
                r#"{"model":"a","n":"é","model":"c"}"#,
                r#"{"model":"b","n":"é","model":"b"}"#,
            ),
            (r#"{"mod\u0065l":"a"}"#, r#"{"mod\u0065l":"b"}"#),
        ] {
            assert_eq!(renamed(body, "b").as_deref(), Some(expected));
        }
        assert_eq!(
            renamed(r#"{"model":"a"}"#, "a\"\\\n\u{1}é").unwrap(),
            r#"{"model":"a\"\\\n\u0001é"}"#
        );
    }

    #[test]
    fn what_cannot_be_renamed_has_no_places() {
        for body in [
            r#"{"input":"model"}"#,
            r#"{"model":3}"#,
            r#"{"model":"a","model":null}"#,
            r#"{"model":""}"#,
            r#"{"model":"a","broken"#,
            r#"{"model":"a"} {"#,
            r#"["model"]"#,
            "--boundary",
            "",
        ] {
            assert_eq!(ModelPlaces::find(body.as_bytes()), None, "{body}");
        }
        assert_eq!(ModelPlaces::find(b"{\"model\":\"\xff\"}"), None);
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(257));
        assert_eq!(ModelPlaces::find(long.as_bytes()), None);
    }

    /// A JSON text in a program's own style, with unusual spaces and escapes.
    fn text() -> impl Strategy<Value = String> {
        let space = "[ \t\r\n]{0,2}";
        let string = prop_oneof![
            any::<String>().prop_map(|text| json!(text).to_string()),
            "(\\\\u00[0-7][0-9a-f]|[a-z]){1,6}".prop_map(|text| format!("\"{text}\"")),
        ];
        let value = prop_oneof![
            string.clone(),
            "-?[1-9][0-9]{0,5}(\\.[0-9]{1,4})?(e-?[0-9])?",
            Just("null".to_owned()),
            Just(r#"{"model":"inner","a":[1,{"model":2}]}"#.to_owned()),
        ];
        let model = prop_oneof![Just("\"model\""), Just(r#""\u006dodel""#)];
        let model = (model, string.clone()).prop_map(|(name, value)| (name.to_owned(), value));
        let field = prop_oneof![2 => (string, value), 1 => model];
        let field = (space, field, space, space)
            .prop_map(|(a, (name, value), b, c)| format!("{a}{name}{b}:{c}{value}{a}"));
        (space, prop::collection::vec(field, 0..6))
            .prop_map(|(space, fields)| format!("{space}{{{}}}{space}", fields.join(",")))
    }

    proptest! {
        #[test]
        fn a_parse_finds_another_model_and_the_rest_is_the_same(
            body in text(),
            model in any::<String>(),
        ) {
            let mut expected: Value = serde_json::from_str(&body).unwrap();
            let Some(places) = ModelPlaces::find(body.as_bytes()) else {
                let model = expected.get("model").and_then(Value::as_str);
                prop_assert!(model.is_none_or(|model| !is_model(model)));
                return Ok(());
            };
            prop_assert_eq!(expected["model"].as_str(), Some(&**places.model()));
            let renamed = places.rename(body.as_bytes(), &model);
            expected["model"] = json!(model);
            prop_assert_eq!(&serde_json::from_slice::<Value>(&renamed).unwrap(), &expected);
            // Except for the names, both are the same bytes.
            let again = ModelPlaces::find(&renamed);
            if let Some(again) = &again {
                prop_assert_eq!(again.places.len(), places.places.len());
                let rest = |body: &[u8], places: &ModelPlaces| {
                    let mut rest = body.to_vec();
                    for place in places.places.iter().rev() {
                        rest.drain(place.clone());
                    }
                    rest
                };
                prop_assert_eq!(rest(body.as_bytes(), &places), rest(&renamed, again));
            } else {
                prop_assert!(!is_model(&model));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, tail in "\\PC*") {
            let _ = ModelPlaces::find(&bytes);
            let _ = ModelPlaces::find(format!("{{\"model\":{tail}").as_bytes());
        }
    }
}
