use proptest::prelude::*;
use serde_json::json;

use super::{
    text::{MEDIA, MESSAGE, PUNCTUATION},
    *,
};

/// Counts words, so that the expected counts are easy to read.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn prompt(body: Value) -> u64 {
    asked(body.to_string().as_bytes(), Some(&words)).prompt
}

#[test]
fn each_kind_of_request() {
    let chat = json!({"messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "why is\nit \"so\"?"},
    ]});
    assert_eq!(prompt(chat), REPLY + 2 * MESSAGE + 2 + 4);
    assert_eq!(prompt(json!({"prompt": "once upon a time"})), 4);
    assert_eq!(prompt(json!({"input": "once upon a time"})), 4);
    assert_eq!(prompt(json!({"input": ["once upon", "a time", ""]})), 4);
    assert_eq!(prompt(json!({"input": [[1, 2, 3], [40_000]]})), 4);
    let rerank =
        json!({"query": "what is it", "documents": ["a b", {"title": "c", "text": "d e"}]});
    assert_eq!(prompt(rerank), 8);
    assert_eq!(
        prompt(json!({"model": "a b c", "stop": ["x y"], "user": "z"})),
        0
    );
}

#[test]
fn a_message_of_parts() {
    let parts = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]}]});
    assert_eq!(prompt(parts), REPLY + MESSAGE + 3 + MEDIA);
    let tools = json!({"messages": [
        {"role": "assistant", "content": null, "tool_calls": [{"function": {"arguments": "a b c"}}]},
    ]});
    assert_eq!(prompt(tools), REPLY + MESSAGE + 3);
    let schema = json!({"tools": [{"type": "function", "strict": true}]});
    assert_eq!(prompt(schema), 2 * (1 + PUNCTUATION) + 2);
}

/// Regression: base64 was counted as text, so no such request fitted under a token limit.
#[test]
fn pictures_and_sound_are_no_text() {
    let data = "iVBORw0KGgo+/-_".repeat(10_000);
    let url = format!("data:image/png;base64,{data}");
    let chat = |message: Value| json!({"messages": [message]});
    let around = REPLY + MESSAGE;
    for (body, expected) in [
        (json!({"input": [{"image": url}]}), MEDIA),
        (
            json!({"input": [{"image": data}, {"text": "a b"}]}),
            MEDIA + 2,
        ),
        (json!({"input": {"image_url": {"url": url}}}), MEDIA),
        (json!({"input": [url, data, "a b"]}), 2 * MEDIA + 2),
        (
            json!({"query": {"image": data}, "documents": [{"image": data, "text": "a b"}]}),
            2 * MEDIA + 2,
        ),
        (json!({"query": "a b", "documents": [url]}), MEDIA + 2),
        (
            chat(json!({"content": "a b", "images": [data, data]})),
            around + 2 * MEDIA + 2,
        ),
        (
            chat(json!({"content": "a b", "audio": {"data": data}})),
            around + MEDIA + 2,
        ),
        (
            chat(json!({"content": "a b", "audio": data})),
            around + MEDIA + 2,
        ),
        (
            chat(json!({"content": [{"type": "audio", "audio": {"data": data}}]})),
            around + MEDIA,
        ),
        (
            chat(json!({"content": [{"type": "file", "file": {"file_data": url}}]})),
            around + MEDIA,
        ),
        (
            chat(json!({"content": [{"type": "text", "text": url}]})),
            around + MEDIA,
        ),
        (chat(json!({"content": url})), around + MEDIA),
        // Texts, short and long, and a document that mentions a picture.
        (
            json!({"input": "data:image/png;base64, means a picture"}),
            4,
        ),
        (json!({"input": "word ".repeat(10_000)}), 10_000),
        (json!({"input": format!("see {data}")}), 2),
        (
            json!({"documents": [{"text": "a b", "image_url": "https://a/b.png"}]}),
            3,
        ),
        (
            chat(json!({"content": "a b", "audio": null, "images": []})),
            around + 2,
        ),
    ] {
        let short = body.to_string().replace(&data, "...");
        assert_eq!(prompt(body), expected, "{short}");
    }
}

#[test]
fn how_many_and_how_long() {
    let asked = |body: Value| {
        let asked = asked(body.to_string().as_bytes(), Some(&words));
        (asked.choices, asked.most)
    };
    assert_eq!(asked(json!({})), (1, None));
    assert_eq!(asked(json!({"n": 3, "max_tokens": 100})), (3, Some(100)));
    let both = json!({"max_completion_tokens": 50, "max_tokens": 100});
    assert_eq!(asked(both), (1, Some(50)));
    for odd in [
        json!(null),
        json!(-1),
        json!("many"),
        json!(0.5),
        json!([1]),
    ] {
        assert_eq!(
            asked(json!({"n": odd, "max_tokens": odd})),
            (1, None),
            "{odd}"
        );
    }
    for two in [json!(2.0), json!("2"), json!("2.0")] {
        assert_eq!(
            asked(json!({"n": two, "max_tokens": two})),
            (2, Some(2)),
            "{two}"
        );
    }
    assert_eq!(asked(json!({"n": 0})), (1, None));
    assert_eq!(asked(json!({"n": u64::MAX})), (u32::MAX, None));
}

#[test]
fn what_is_no_json_asks_for_nothing_known() {
    for body in ["", "--boundary", "[1]", "\u{feff}{}", "{\"messages\":"] {
        let asked = asked(body.as_bytes(), Some(&words));
        assert_eq!((asked.choices, asked.most), (1, None), "{body}");
    }
    // Fields read before the error are kept.
    assert_eq!(asked(br#"{"n":2,"prompt":"a b","#, Some(&words)).prompt, 2);
    let deep = format!(r#"{{"input":{}"#, "[".repeat(100_000));
    assert_eq!(asked(deep.as_bytes(), Some(&words)).prompt, 0);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, tail in "\\PC*") {
        let _ = asked(&bytes, Some(&crate::wire::request::estimate));
        let _ = asked(format!("{{\"messages\":[{{\"content\":{tail}").as_bytes(), Some(&|_| u64::MAX));
    }
}

fn model(body: &[u8]) -> Option<Arc<str>> {
    asked(body, None).model
}

#[test]
fn the_model_wherever_it_stands() {
    for (body, expected) in [
        (r#"{"model":"a/b","input":["x"]}"#, Some("a/b")),
        (
            r#" {"input":["x",{"model":"inner"}],"model":"a\/b"}"#,
            Some("a/b"),
        ),
        (r#"{"model":"a","broken"#, Some("a")),
        (r#"{"model":"a","model":"b"}"#, Some("b")),
        (r#"{"model":3}"#, None),
        (r#"{"model":"a","model":null}"#, Some("a")),
        (r#"{"model":""}"#, None),
        (r#"{"input":"model"}"#, None),
        (r#"["model"]"#, None),
        ("", None),
        ("--boundary", None),
    ] {
        assert_eq!(model(body.as_bytes()).as_deref(), expected, "{body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(257));
    assert_eq!(model(long.as_bytes()), None);
    assert_eq!(model(b"{\"model\":\"\xff\"}"), None);
    assert_eq!(model("[".repeat(100_000).as_bytes()), None);
    let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
    assert_eq!(model(deep.as_bytes()), None);
}

/// Regression: a value nested too deeply to be measured hid the model behind it.
#[test]
fn the_model_is_found_however_the_prompt_is_measured() {
    let deep = |open: &str, close: &str| open.repeat(200) + &close.repeat(200);
    for name in ["messages", "prompt", "tools", "max_tokens", "n", "other"] {
        for value in [deep("[", "]"), deep("{\"a\":[", "]}"), "1e999".into()] {
            for (before, after) in [
                ("", r#","model":"b""#),
                (r#""model":"a","#, r#","model":"b""#),
            ] {
                let body = format!("{{{before}\"{name}\":{value}{after}}}");
                let measured = asked(body.as_bytes(), Some(&words));
                assert_eq!(measured.model, model(body.as_bytes()), "{name}");
                assert_eq!(measured.model.as_deref(), Some("b"), "{name}");
            }
        }
    }
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
    fn the_model_is_what_a_whole_parse_finds(value in json()) {
        let expected = value
            .as_object()
            .and_then(|object| object.get("model")?.as_str())
            .filter(|model| is_model(model));
        let text = value.to_string();
        let found = model(text.as_bytes());
        prop_assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_prompt_that_is_measured_changes_no_model(
        fields in prop::collection::vec(
            prop_oneof![
                Just(r#""model":"a""#), Just(r#""model":"b""#), Just(r#""model":null"#),
                Just(r#""model":"\ud83d""#), Just("\"model\":\"\u{1}\""), Just(r#""mod\u0065l":"c""#),
                Just(r#""input":["a",NaN]"#), Just(r#""messages":[{"content":"\ud83d"}]"#),
                Just(r#""messages":[{"\ud83d":1}]"#), Just(r#""n":1e999"#), Just(r#""n":[1,{"a":2}]"#),
                Just(r#""max_tokens":"7""#), Just(r#""max_tokens":01"#), Just(r#""tools":{"a":True}"#),
                Just(r#""prompt":18446744073709551616"#), Just(r#""prompt":"unclosed"#), Just("\u{feff}"),
                Just("\0"), Just(r#""query":{"model":"d"}"#), Just("}"), Just("{"), Just(r#""\ud83d":1"#),
            ],
            0..5,
        ),
        cut in 0..200_usize,
    ) {
        let body = format!("{{{}}}", fields.join(","));
        let cut = body.len().saturating_sub(cut.saturating_sub(150));
        let body = &body.as_bytes()[..cut];
        prop_assert_eq!(asked(body, Some(&words)).model, model(body));
    }

    #[test]
    fn no_bytes_make_the_model_panic(bytes: Vec<u8>, tail in "\\PC*") {
        let _ = model(&bytes);
        let _ = model(format!("{{\"model\":{tail}").as_bytes());
    }
}
