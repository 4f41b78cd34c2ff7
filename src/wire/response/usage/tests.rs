use http::HeaderName;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::wire::json::count;

const JSON: &str = "application/json; charset=utf-8";
const EVENTS: &str = "text/event-stream;charset=utf-8";

fn reader(headers: &[(&'static str, &str)]) -> Option<UsageReader> {
    let named = |(name, value): &(&'static str, &str)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    };
    UsageReader::of(&headers.iter().map(named).collect())
}

fn read<'a>(content_type: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<u64> {
    let mut reader = reader(&[("content-type", content_type)]).unwrap();
    pieces.into_iter().for_each(|piece| reader.read(piece));
    reader.found().map(|usage| usage.total)
}

fn in_json(body: &str) -> Option<u64> {
    read(JSON, [body.as_bytes()])
}

#[test]
fn the_usage_of_a_response_wherever_it_is() {
    for (body, total) in [
        (r#"{"usage":{"total_tokens":48}}"#, Some(48)),
        (
            r#"{"usage":{"prompt_tokens":45,"completion_tokens":3}}"#,
            Some(48),
        ),
        ("\n{ \"usage\" : {\n \"total_tokens\" : 48\n} }\n", Some(48)),
        (r#"{"us\u0061ge":{"total\u005ftokens":48}}"#, Some(48)),
        (
            r#"{"choices":[{"text":"\"usage\":{\"total_tokens\":1}"}],"usage":{"total_tokens":2}}"#,
            Some(2),
        ),
        (
            r#"{"usage":{"details":{"total_tokens":1},"total_tokens":2,"more":[{"total_tokens":3}]}}"#,
            Some(2),
        ),
        (
            r#"{"usage":{"total_tokens":2,"details":{"total_tokens":1}}}"#,
            Some(2),
        ),
        (r#"{"choices":[{"usage":{"total_tokens":1}}]}"#, None),
        (r#"{"choices":{"usage":{"total_tokens":1}}}"#, None),
        (r#"{"usage":[{"total_tokens":1}]}"#, None),
        (r#"{"text":"usage","total_tokens":1}"#, None),
        (r#"{"a":"usage","b":{"total_tokens":1}}"#, None),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":{}}"#, None),
        (r#"{"usage":{"total_tokens":null}}"#, None),
        (r#"{"usage":{"total_tokens":"48"}}"#, Some(48)),
        (r#"{"usage":{"total_tokens":"4,8"}}"#, None),
        (r#"{"usage":{"total_tokens":"\"}}"}}"#, None),
        (r#"{"usage":{"total_tokens":-48}}"#, None),
        (r#"{"usage":{"total_tokens":4e9}}"#, Some(4_000_000_000)),
        (r#"{"usage":{"total_tokens":4e999}}"#, None),
        (r#"{"usage":{"total_tokens":[48]}}"#, None),
        (r#"{"usage":{"total_tokens":48.9}}"#, Some(48)),
        (
            r#"{"usage":{"total_tokens":99999999999999999999}}"#,
            Some(u64::MAX),
        ),
        (r#"{"usage":{"total_tokens":0,"prompt_tokens":0}}"#, None),
        (
            r#"{"usage":{"total_tokens":2,"usage":{"total_tokens":1}}}"#,
            Some(2),
        ),
        (
            r#"{"usage":{"prompt_tokens":5},"usage":{"completion_tokens":1}}"#,
            Some(1),
        ),
        (r#"{"usage":{"completion_tokens_x":5}}"#, None),
        (r#"{"usage":{"\total_tokens":5}}"#, None),
        (r#"{"text":"\"","usage":{"total_tokens":2}}"#, Some(2)),
        (r#"x{"usage":{"total_tokens":1}}"#, None),
        // Truncated after the number, and within it.
        (r#"{"usage":{"total_tokens":48}"#, Some(48)),
        (r#"{"usage":{"total_tokens":48"#, None),
        (
            r#"{"usage":{"total_tokens":1}}{"usage":{"total_tokens":2}}"#,
            Some(1),
        ),
        (r#"[{"usage":{"total_tokens":1}}]"#, None),
        (r#""usage":{"total_tokens":1}"#, None),
        ("<html>", None),
        ("", None),
    ] {
        assert_eq!(in_json(body), total, "{body}");
    }
}

#[test]
fn the_usage_of_a_stream_on_whichever_chunk_it_comes() {
    let chunk = |usage: Value| json!({"choices": [{"delta": {"content": "a\n"}}], "usage": usage});
    let (none, some) = (chunk(json!(null)), chunk(json!({"total_tokens": 48})));
    let trailing = json!({"choices": [], "usage": {"total_tokens": 49}});
    for (body, total) in [
        (
            format!("data: {none}\n\ndata: {some}\n\ndata: [DONE]\n\n"),
            Some(48),
        ),
        (
            format!("data: {none}\n\ndata: {trailing}\n\ndata: [DONE]\n\n"),
            Some(49),
        ),
        (
            format!("data:{some}\r\n\r\ndata: {trailing}\r\n\r\n"),
            Some(49),
        ),
        (format!("data: {some}\r\rdata: {none}\r\r"), Some(48)),
        (
            format!(": comment\nevent: x\nid: 1\ndata: {some}\n\n"),
            Some(48),
        ),
        (format!("data: {{\"a\": [\n\ndata: {some}\n\n"), Some(48)),
        (
            format!("data: {some}\n\ndata: {{\"usage\":{{\"total_tokens\":0}}}}\n\n"),
            Some(48),
        ),
        (
            "data: {\"usage\":\ndat\ndata: {\"total_tokens\":48}}\n\n".to_owned(),
            Some(48),
        ),
        // No empty line between events; one event on several lines.
        (
            format!("data: {none}\ndata: {some}\ndata: [DONE]\n"),
            Some(48),
        ),
        (
            format!("data: {some:#}\n\n").replace("\n ", "\ndata: "),
            Some(48),
        ),
        (
            format!("data: {some:#}\r\n\r\n").replace("\n ", "\r\ndata: "),
            Some(48),
        ),
        (
            format!("data: {some}\n\n").replace("_tokens", "_t\\u006fkens"),
            Some(48),
        ),
        (format!("data: {some}"), Some(48)),
        (
            format!("event: {some}\n\ndat: {some}\n\n{some}\n\n dota: {some}\n\n"),
            None,
        ),
        (format!("data\n\ndata: {none}\n\n"), None),
    ] {
        assert_eq!(read(EVENTS, [body.as_bytes()]), total, "{body}");
    }
}

#[test]
fn what_can_be_read() {
    let reads = |headers: &[(&'static str, &str)]| reader(headers).is_some();
    let json = ("content-type", "application/json");
    assert!(reads(&[json]));
    assert!(reads(&[
        ("content-type", "Application/Problem+JSON ; x=y"),
        ("content-encoding", "identity"),
    ]));
    assert!(reads(&[]));
    assert!(reads(&[json, ("content-encoding", "UTF-8")]));
    assert!(!reads(&[("content-type", "audio/mpeg")]));
    assert!(!reads(&[json, ("content-encoding", "gzip")]));
}

/// The usage in complete JSON.
fn expected(value: &Value) -> Option<u64> {
    let usage = value.as_object()?.get("usage")?.as_object()?;
    let number = |name: &str| match usage.get(name)? {
        Value::Number(number) => count(&number.to_string()),
        Value::String(text) => count(text),
        _ => None,
    };
    let sum = number("prompt_tokens")
        .unwrap_or(0)
        .saturating_add(number("completion_tokens").unwrap_or(0));
    let total = number("total_tokens")
        .filter(|total| *total > 0)
        .unwrap_or(sum);
    Some(total).filter(|total| *total > 0)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        (-9..9i64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "usage|[{}\\[\\],:\"\\\\ue0-9 é\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 5, |inner| {
        let names = "usage|total_tokens|prompt_tokens|completion_tokens|[\"\\\\\\PC]{0,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..5)
                .prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

/// Values of `usage`, most of them with counts.
fn usages() -> impl Strategy<Value = Value> {
    let names = "total_tokens|prompt_tokens|completion_tokens|[\"\\\\\\PC]{0,3}";
    let number = (0..1_000_000u64).prop_map(Value::from);
    let entry = prop_oneof![3 => number, 1 => values()];
    let object = prop::collection::btree_map(names, entry, 0..5);
    prop_oneof![
        1 => values(),
        5 => object.prop_map(|map| Value::Object(Map::from_iter(map))),
    ]
}

/// Cuts the body into single bytes, and into two pieces at every position.
fn assert_any_cut(content_type: &str, body: &[u8], total: Option<u64>) {
    assert_eq!(read(content_type, body.chunks(1)), total);
    for at in 0..=body.len() {
        let (one, other) = body.split_at(at);
        assert_eq!(read(content_type, [one, other]), total, "cut at {at}");
    }
}

proptest! {
    #[test]
    fn it_is_what_a_whole_parse_finds_however_it_is_cut(
        mut value in values(),
        usage in usages(),
        pretty: bool,
    ) {
        if let Some(object) = value.as_object_mut() {
            object.insert("usage".to_owned(), usage);
        }
        let total = expected(&value);
        let body = if pretty { format!("{value:#}") } else { value.to_string() };
        assert_any_cut(JSON, body.as_bytes(), total);
        let body = format!("data: {value}\r\n\r\ndata: [DONE]\n\n");
        assert_any_cut(EVENTS, body.as_bytes(), total);
    }

    #[test]
    fn any_bytes_say_the_same_however_they_are_cut(body in "(data:|usage|total_tokens|[\n\r\"{}\\[\\]:,0-9 \\\\u]){0,64}") {
        for content_type in [JSON, EVENTS] {
            assert_any_cut(content_type, body.as_bytes(), read(content_type, [body.as_bytes()]));
        }
    }
}
