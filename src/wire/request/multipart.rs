//! Reads the model from a multipart form, the format of audio requests (RFC 7578).

use std::{iter, sync::Arc};

use memchr::{memchr, memmem::Finder};

use super::model::is_model;

/// The boundary between the parts of a form; `None` if `content-type` is not a form's.
pub(crate) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let kind = content_type.split(|byte| *byte == b';').next()?;
    if !kind
        .trim_ascii()
        .eq_ignore_ascii_case(b"multipart/form-data")
    {
        return None;
    }
    let boundary = parameter(content_type, "boundary")?;
    (1..=LONGEST_BOUNDARY)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// The form's field `model`. If there are several, the first counts, so that a file behind it need not be
/// searched. The file itself is not copied.
pub(crate) fn form_model(boundary: &[u8], body: &[u8]) -> Option<Arc<str>> {
    let delimiter = [b"\n--", boundary].concat();
    parts(&Finder::new(&delimiter), body).find_map(model)
}

/// The parts of a form, in order and without overlap.
fn parts<'a>(delimiter: &Finder<'_>, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    // The first delimiter may be at the start of the body, without a line break before it.
    let first = body.strip_prefix(&delimiter.needle()[1..]);
    let mut rest = match first.and_then(behind) {
        Some(rest) => rest,
        None => cut(body, delimiter).1,
    };
    iter::from_fn(move || {
        let part;
        (part, rest) = cut(rest?, delimiter);
        Some(part)
    })
}

/// Splits `parts` at the next delimiter; without one, all of it is one part.
fn cut<'a>(parts: &'a [u8], delimiter: &Finder<'_>) -> (&'a [u8], Option<&'a [u8]>) {
    let length = delimiter.needle().len();
    // The delimiter starts with its only line break, so matches never overlap.
    let found = delimiter
        .find_iter(parts)
        .find_map(|at| Some((&parts[..at], behind(&parts[at + length..])?)));
    found.unwrap_or((parts, None))
}

/// The text after a delimiter, or `Some(None)` after the last one. `None` if this is not a delimiter but the
/// start of other text.
fn behind(rest: &[u8]) -> Option<Option<&[u8]>> {
    if rest.starts_with(b"--") {
        return Some(None);
    }
    let padding = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let rest = &rest[padding..];
    let line = rest.strip_prefix(b"\r").unwrap_or(rest);
    line.strip_prefix(b"\n").map(Some)
}

/// The value of a part, if the part is the field `model` and not a file.
fn model(part: &[u8]) -> Option<Arc<str>> {
    let mut names_model = false;
    let mut rest = part;
    loop {
        let within = part.len() - rest.len();
        let line = &rest[..rest.len().min(LONGEST_HEAD.checked_sub(within)?)];
        let end = memchr(b'\n', line)?;
        let line = line[..end].trim_ascii();
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        names_model |= names_the_model(line);
    }
    let value = rest.trim_ascii();
    if !names_model {
        return None;
    }
    let name = std::str::from_utf8(value).ok();
    name.filter(|name| is_model(name)).map(Into::into)
}

fn names_the_model(line: &[u8]) -> bool {
    let colon = memchr(b':', line).unwrap_or(0);
    let (name, value) = line.split_at(colon);
    name.trim_ascii_end()
        .eq_ignore_ascii_case(b"content-disposition")
        && parameter(value, "name").as_deref() == Some(b"model")
        && parameter(value, "filename").is_none()
}

/// A header's parameter: `..; name=value`, with or without quotes.
fn parameter(header: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = &header[memchr(b';', header)? + 1..];
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (name, mut after) = (rest[..end].trim_ascii(), &rest[end..]);
        if after[0] == b'=' {
            let value;
            (value, after) = value_of(after[1..].trim_ascii_start());
            if name.eq_ignore_ascii_case(wanted.as_bytes()) {
                return Some(value);
            }
        }
        rest = &after[memchr(b';', after)? + 1..];
    }
}

/// A parameter's value, and the text after it.
fn value_of(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr(b';', text).unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => break,
            b'\\' if !rest.is_empty() => {
                value.push(rest[0]);
                rest = &rest[1..];
            }
            _ => value.push(*byte),
        }
    }
    (value, rest)
}

/// In bytes. RFC 2046 allows 70.
const LONGEST_BOUNDARY: usize = 256;

/// In bytes. Three short headers are usual. A part with longer headers is ignored.
const LONGEST_HEAD: usize = 4 << 10;

#[cfg(test)]
mod tests;
