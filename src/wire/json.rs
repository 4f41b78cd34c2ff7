//! JSON as servers and callers write it.

use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

/// Reads JSON. If strict parsing fails, invalid parts are replaced and the text is parsed again.
///
/// The API's responses quote texts that may be cut anywhere, and may pass through lenient servers. One invalid
/// byte is no reason to ignore the rest. Half of a surrogate pair, and bytes that are not UTF-8, become U+FFFD.
/// `NaN`, infinities and numbers out of range become `null`. A byte order mark is removed.
///
/// # Errors
///
/// If the repaired text is still not JSON, or not a `T`.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body).or_else(|error| match repaired(body) {
        Some(body) => serde_json::from_slice(&body),
        None => Err(error),
    })
}

/// Like [`read_json`], for a visitor that may stop early: what it found before an error is kept.
pub(in crate::wire) fn find<T: Default>(
    body: &[u8],
    read: impl Fn(&[u8], &mut T) -> serde_json::Result<()>,
) -> T {
    let mut found = T::default();
    if read(body, &mut found).is_err() {
        if let Some(body) = repaired(body) {
            found = T::default();
            let _ = read(&body, &mut found);
        }
    }
    found
}

/// The first byte of the JSON value in `body`.
pub(in crate::wire) fn first_byte(body: &[u8]) -> Option<u8> {
    let body = body.strip_prefix(MARK).unwrap_or(body);
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    body.iter().copied().find(|byte| !blank(byte))
}

/// Parses `text` as a finite number.
pub(in crate::wire) fn number(text: &str) -> Option<f64> {
    // Most numbers are whole, and those are cheaper to parse.
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole as f64);
    }
    // Rust also parses "inf" and "nan", which no server means.
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Parses `text` as a number and truncates it; `None` if it is negative or not a number.
pub(in crate::wire) fn count(text: &str) -> Option<u64> {
    let part = || number(text).filter(|number| *number >= 0.0);
    text.parse().ok().or_else(|| Some(part()? as u64))
}

/// The JSON with its invalid parts replaced; `None` if there are none.
fn repaired(body: &[u8]) -> Option<Vec<u8>> {
    if !matches!(first_byte(body)?, b'{' | b'[' | b'"') {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let mut fixed = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => string(rest, &mut fixed),
            b'{' | b'}' | b'[' | b']' | b':' | b',' | b' ' | b'\n' | b'\r' | b'\t' => {
                fixed.push(byte);
                after
            }
            _ if is_word(byte) => {
                let end = rest.iter().position(|byte| !is_word(*byte));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                fixed.extend_from_slice(value(word).as_bytes());
                after
            }
            // Any other byte, such as a byte order mark or a zero byte, becomes a space.
            _ => {
                fixed.push(b' ');
                after
            }
        };
    }
    (fixed != body).then_some(fixed)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

/// A JSON number, `true`, `false` or `null`.
fn value(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    // Python writes `True`.
    let known = [word.to_string(), word.to_ascii_lowercase()].into_iter();
    let number = || {
        let number = number(&word).and_then(Number::from_f64);
        number.map_or_else(|| "null".to_owned(), |number| number.to_string())
    };
    let mut json = known.filter(|word| serde_json::from_str::<Value>(word).is_ok());
    json.next().unwrap_or_else(number)
}

/// Writes the string that `rest` begins with. Returns the rest after the string.
fn string<'a>(rest: &'a [u8], fixed: &mut Vec<u8>) -> &'a [u8] {
    fixed.push(b'"');
    let mut rest = &rest[1..];
    loop {
        let matters = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let end = rest.iter().position(matters).unwrap_or(rest.len());
        fixed.extend_from_slice(&rest[..end]);
        rest = match rest[end..].split_first() {
            None => return &[],
            Some((b'"', after)) => {
                fixed.push(b'"');
                return after;
            }
            Some((b'\\', after)) => escape(after, fixed),
            Some((control, after)) => {
                fixed.extend_from_slice(format!("\\u{control:04x}").as_bytes());
                after
            }
        }
    }
}

/// Writes the escape whose backslash precedes `rest`. Returns the rest after the escape.
fn escape<'a>(rest: &'a [u8], fixed: &mut Vec<u8>) -> &'a [u8] {
    let length = match (rest.first(), code(rest)) {
        (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _) => 1,
        (_, Some(0xd800..0xdc00)) if is_low_half(&rest[CODE..]) => 2 * CODE + 1,
        (_, Some(0xd800..0xe000)) => {
            fixed.extend_from_slice(b"\\ufffd");
            return &rest[CODE..];
        }
        (_, Some(_)) => CODE,
        // A backslash that begins no valid escape.
        (_, None) => {
            fixed.extend_from_slice(b"\\\\");
            return rest;
        }
    };
    fixed.push(b'\\');
    fixed.extend_from_slice(&rest[..length]);
    &rest[length..]
}

fn is_low_half(rest: &[u8]) -> bool {
    let code = rest.strip_prefix(b"\\").and_then(code);
    code.is_some_and(|code| (0xdc00..0xe000).contains(&code))
}

/// The code unit of an escape such as `ud83d`.
fn code(rest: &[u8]) -> Option<u32> {
    let digits = rest.get(..CODE)?.strip_prefix(b"u")?;
    let digit = |code: u32, byte: &u8| Some(code << 4 | char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

/// Length of `ud83d`.
const CODE: usize = 5;

/// A byte order mark.
pub(in crate::wire) const MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_odd_is_replaced_and_the_rest_is_kept() {
        for (body, expected) in [
            (&b"{\"a\":\"\\ud83d\"}"[..], r#"{"a":"\ufffd"}"#),
            (
                b"{\"a\":\"\\ud83d\\ude00\\ude00\"}",
                r#"{"a":"\ud83d\ude00\ufffd"}"#,
            ),
            (b"{\"a\":\"\\ud83d\\n\\\\\\\"\"}", r#"{"a":"\ufffd\n\\\""}"#),
            (b"{\"a\":\"\xe9\"}", "{\"a\":\"\u{fffd}\"}"),
            (b"\xef\xbb\xbf[1]\0", "[1]"),
            (b"[NaN,-Infinity,1e999,None,1]", "[null,null,null,null,1]"),
            (b"[True,+1,.5,007]", "[true,1.0,0.5,7.0]"),
            (b"[\"a\tb\0\"]", r#"["a\u0009b\u0000"]"#),
            (br#"["\x \u12"]"#, r#"["\\x \\u12"]"#),
            // Truncated input is repaired up to its end.
            (b"[NaN,\"\\", "[null,\"\\\\"),
        ] {
            let fixed = repaired(body).unwrap();
            assert_eq!(String::from_utf8(fixed).unwrap().trim(), expected);
        }
        for body in [
            "",
            "<html>\0",
            "error code: 1015",
            "[1E5]",
            "{\"a\":[1,2.5e3,null,\"\\u00e9\"]}",
        ] {
            assert_eq!(repaired(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_count_in_each_form() {
        for (text, expected) in [
            ("900", Some(900)),
            ("900.0", Some(900)),
            ("900.9", Some(900)),
            ("9e2", Some(900)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e30", Some(u64::MAX)),
            ("-1", None),
            ("1e999", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("9 00", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_once_is_enough(
            bytes: Vec<u8>,
            like in "[{\"\\\\ud83e:,0-9.N\u{feff}\0]{0,40}",
        ) {
            for body in [&bytes[..], like.as_bytes(), &[b"[", &bytes[..]].concat()] {
                if let Some(fixed) = repaired(body) {
                    prop_assert_eq!(repaired(&fixed), None);
                }
            }
        }

        #[test]
        fn a_number_is_the_float_that_its_text_is(text in "[+-]?[0-9]{1,25}(\\.[0-9]{0,4})?(e[0-9])?", whole: u64) {
            for text in [text, whole.to_string()] {
                prop_assert_eq!(number(&text), text.parse().ok(), "{}", text);
            }
        }

        #[test]
        fn json_is_left_alone(value in "\\PC{0,20}", number: f64, keys: Vec<u64>) {
            let value = serde_json::json!({"a": [value, number], "b": keys});
            prop_assert_eq!(repaired(value.to_string().as_bytes()), None);
        }
    }
}
