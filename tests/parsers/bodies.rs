//! Responses with or without a usage, among much that looks like one.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// A response as `testing::promises::usage` reads it, and the tokens charged for it.
pub(crate) fn draw(rng: &mut Rng) -> (Vec<u8>, u64) {
    let cut = 1 << rng.u8(..9);
    let (first, charge) = response(rng);
    if rng.bool() {
        let text = if rng.bool() {
            format!("{first:#}")
        } else {
            first.to_string()
        };
        return (
            format!("json {cut}\n{text}").into_bytes(),
            charge.unwrap_or(GIVEN),
        );
    }
    let end = *rng.choice(&["\n", "\r\n", "\r"]).unwrap();
    let mut events = format!("events {cut}\n");
    let mut charged = GIVEN;
    let chunks = rng.usize(..4);
    let mut chunks: Vec<_> = (0..chunks).map(|_| response(rng)).collect();
    chunks.push((first, charge));
    for (chunk, charge) in chunks {
        if rng.u8(..4) == 0 {
            events += &format!(": usage{end}event: x{end}");
        }
        let text = if rng.bool() {
            format!("{chunk:#}")
        } else {
            chunk.to_string()
        };
        for line in text.split('\n') {
            events += &format!("data: {line}{end}");
        }
        events += end;
        charged = charge.unwrap_or(charged);
    }
    if rng.bool() {
        events += &format!("data: [DONE]{end}{end}");
    }
    (events.into_bytes(), charged)
}

/// One object, and the total of its usage.
fn response(rng: &mut Rng) -> (Value, Option<u64>) {
    let mut object = object(rng, 3);
    object.remove("usage");
    let (prompt, completion) = (rng.u64(1..100_000), rng.u64(1..100_000));
    let (usage, charge) = match rng.u8(..6) {
        0 => return (Value::Object(object), None),
        1 => (json!(null), None),
        2 => (value(rng, 0), None),
        3 => (json!({"total_tokens": prompt}), Some(prompt)),
        4 => (
            json!({"prompt_tokens": prompt, "completion_tokens": completion}),
            Some(prompt + completion),
        ),
        _ => {
            let mut more = self::object(rng, 2);
            let total = prompt + completion;
            more.insert("prompt_tokens".to_owned(), json!(prompt));
            more.insert("completion_tokens".to_owned(), json!(completion));
            more.insert("total_tokens".to_owned(), json!(total));
            (Value::Object(more), Some(total))
        }
    };
    object.insert("usage".to_owned(), usage);
    (Value::Object(object), charge)
}

fn object(rng: &mut Rng, depth: u8) -> Map<String, Value> {
    let entries = (0..rng.usize(..4)).map(|_| (text(rng), value(rng, depth)));
    entries.collect()
}

fn value(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(..if depth == 0 { 5 } else { 8 }) {
        0 => json!(null),
        1 => json!(rng.bool()),
        2 => json!(rng.u32(..)),
        3 => json!(-rng.f64()),
        4 => json!(text(rng)),
        5 => (0..rng.usize(..4)).map(|_| value(rng, depth - 1)).collect(),
        _ => Value::Object(object(rng, depth - 1)),
    }
}

fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..4))
        .map(|_| *rng.choice(PIECES).unwrap())
        .collect()
}

/// The tokens charged if no usage is found.
const GIVEN: u64 = 7;

const PIECES: &[&str] = &[
    "usage",
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "48",
    "\n",
    "\r",
    "data:",
    "\"usage\":{\"total_tokens\":1}",
    "\u{e9}",
    "\u{1f389}",
    "\0",
    " ",
];
