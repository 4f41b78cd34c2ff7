use proptest::prelude::*;

use super::*;

fn read(content_type: &str, body: impl AsRef<[u8]>) -> Option<String> {
    let boundary = boundary(content_type.as_bytes())?;
    form_model(&boundary, body.as_ref()).map(|model| model.as_ref().into())
}

const TYPE: &str = "multipart/form-data; boundary=xx";

#[test]
fn the_boundary_is_read_as_clients_write_it() {
    for (content_type, expected) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        ("Multipart/Form-Data;BOUNDARY=\"a b;c\"", Some("a b;c")),
        (
            "multipart/form-data; charset=utf-8; boundary=abc ; x=y",
            Some("abc"),
        ),
        (r#"multipart/form-data; boundary="a\"b""#, Some("a\"b")),
        (
            "multipart/form-data ; a=\"; boundary=no\" ;; boundary = yes",
            Some("yes"),
        ),
        ("multipart/form-data; boundary=\"open", Some("open")),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"\"", None),
        ("multipart/form-data; boundary", None),
        ("multipart/form-data", None),
        ("multipart/form-database; boundary=abc", None),
        ("multipart/mixed; boundary=abc", None),
        ("application/json", None),
        ("", None),
    ] {
        let found = boundary(content_type.as_bytes());
        assert_eq!(
            found.as_deref(),
            expected.map(str::as_bytes),
            "{content_type}"
        );
    }
    let long = |length| format!("multipart/form-data; boundary={}", "x".repeat(length));
    assert!(boundary(long(LONGEST_BOUNDARY).as_bytes()).is_some());
    assert!(boundary(long(LONGEST_BOUNDARY + 1).as_bytes()).is_none());
}

#[test]
fn the_field_is_found_wherever_and_however_it_is_written() {
    let file = "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\
                Content-Type: audio/mpeg\r\n\r\n\0\r\n--xy\r\n\r\n--x\n--xxx\r\nmodel\r\n";
    let field = "--xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na/b\r\n";
    let alone = |head: &str| format!("--xx\r\n{head}\r\n\r\na/b\r\n--xx--\r\n");
    for (body, expected) in [
        (format!("{field}{file}--xx--\r\n"), Some("a/b")),
        (format!("{file}{field}--xx--\r\n"), Some("a/b")),
        // A missing closing delimiter, and lines before the first delimiter.
        (format!("{file}{field}"), Some("a/b")),
        (format!("preamble\r\n{file}{field}--xx--"), Some("a/b")),
        (format!("\r\n{field}--xx--"), Some("a/b")),
        (format!("{file}--xx--\r\n{field}"), None),
        (format!("{file}--xx--"), None),
        // The first of several fields counts.
        (format!("{field}{}", field.replace("a/b", "c")), Some("a/b")),
        (field.replace("\r\n", "\n"), Some("a/b")),
        (field.replace("--xx\r\n", "--xx \t\r\n"), Some("a/b")),
        (
            alone("content-disposition:form-data;name=model"),
            Some("a/b"),
        ),
        (
            alone("Content-Type: text/plain\r\nCONTENT-DISPOSITION : form-data; NAME = \"model\""),
            Some("a/b"),
        ),
        (
            alone(r#"Content-Disposition: form-data; x="; name=no"; name="\model""#),
            Some("a/b"),
        ),
        (
            alone("Content-Disposition: form-data; name=\"Model\""),
            None,
        ),
        (
            alone("Content-Disposition: form-data; name=\"models\""),
            None,
        ),
        (
            alone("Content-Disposition: form-data; name=\"model\"; filename=\"f\""),
            None,
        ),
        (
            alone("X-Content-Disposition: form-data; name=\"model\""),
            None,
        ),
        (alone(": form-data; name=\"model\""), None),
        (alone("name=\"model\""), None),
        // An empty value, and a missing value.
        (field.replace("a/b", " "), None),
        (field.replace("\r\n\r\na/b", ""), None),
        ("--xx".into(), None),
        ("--xx\r\n".into(), None),
        (String::new(), None),
        (r#"{"model":"a/b"}"#.into(), None),
    ] {
        assert_eq!(read(TYPE, &body).as_deref(), expected, "{body}");
    }
}

#[test]
fn what_is_too_long_is_not_read() {
    let form = |pad: usize, value: &str| {
        format!(
            "--xx\r\nX-Pad: {}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{value}\r\n--xx--",
            "x".repeat(pad)
        )
    };
    let longest = "x".repeat(256);
    assert_eq!(
        read(TYPE, form(LONGEST_HEAD - 100, &longest)),
        Some(longest.clone())
    );
    assert_eq!(read(TYPE, form(0, &format!("{longest}x"))), None);
    assert_eq!(read(TYPE, form(LONGEST_HEAD, "a")), None);
    let mut bytes = form(0, "a").into_bytes();
    let at = bytes.len() - "a\r\n--xx--".len();
    bytes[at] = 0xff;
    assert_eq!(read(TYPE, bytes), None);
}

/// Counts the parts and their bytes: each byte is read once, not once for each part. The parts are as short as
/// possible, or begin like a delimiter.
#[test]
fn a_body_of_nothing_but_delimiters_is_read_in_linear_time() {
    let times = 1_000;
    for (piece, steps, bytes) in [
        ("\n--x\n", times, 0),
        ("\n--x \t\r\n", times, 0),
        ("\n--x\ny", times, times),
        ("\n--xy", 0, 0),
    ] {
        let body = piece.repeat(times);
        let delimiter = Finder::new("\n--x");
        let lengths = parts(&delimiter, body.as_bytes()).map(<[u8]>::len);
        let counted = lengths
            .take(times + 1)
            .fold((0, 0), |(steps, bytes), length| (steps + 1, bytes + length));
        assert_eq!(counted, (steps, bytes), "{piece:?}");
        assert_eq!(read("multipart/form-data; boundary=x", body), None);
    }
}

fn field() -> impl Strategy<Value = (String, bool, Vec<u8>)> {
    let name = prop_oneof![Just("model".to_owned()), "[a-z]{1,8}"];
    (
        name,
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..40),
    )
}

proptest! {
    #[test]
    fn a_form_that_is_written_is_read(
        fields in prop::collection::vec(field(), 0..6),
        model in "[!-~][ -~]{0,20}[!-~]",
        at in any::<prop::sample::Index>(),
    ) {
        let mut fields: Vec<_> = fields
            .into_iter()
            .filter(|(name, file, _)| *file || name != "model")
            .collect();
        let at = at.index(fields.len() + 1);
        fields.insert(at, ("model".into(), false, model.clone().into_bytes()));
        let boundary = "a-boundary-that-no-value-has";
        let mut body = Vec::new();
        for (name, file, value) in &fields {
            let file = if *file { "; filename=\"f\"" } else { "" };
            body.extend(format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            ).bytes());
            body.extend(value);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{boundary}--\r\n").bytes());
        let found = form_model(boundary.as_bytes(), &body);
        prop_assert_eq!(found.as_deref(), Some(model.as_str()));
    }

    #[test]
    fn no_bytes_make_it_panic(
        content_type: Vec<u8>,
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"--x".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n--x\r\n".to_vec()),
                Just(b"--".to_vec()), Just(b"Content-Disposition: form-data".to_vec()),
                Just(b"; name=\"model\"".to_vec()), Just(b"\"".to_vec()), Just(b"\\".to_vec()),
                Just(b";".to_vec()), Just(b"=".to_vec()), any::<u8>().prop_map(|byte| vec![byte]),
            ],
            0..24,
        ),
    ) {
        let _ = boundary(&content_type);
        let _ = boundary(&[b"multipart/form-data".as_slice(), &content_type].concat());
        let body = pieces.concat();
        let _ = boundary(&[b"multipart/form-data".as_slice(), &body].concat());
        let found = form_model(b"x", &body);
        prop_assert!(found.is_none_or(|model| is_model(&model)));
    }
}
