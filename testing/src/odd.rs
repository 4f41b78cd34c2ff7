//! Malformed JSON as it occurs in practice.

/// Objects with these `members` (`"a":1,"b":2`), and an odd value before or after them at which a strict reader fails:
/// half an emoji, bytes that are not UTF-8, or numbers that JSON does not have.
pub fn odd_bodies(members: &str) -> Vec<Vec<u8>> {
    let members = members.as_bytes();
    let object = |pieces: &[&[u8]]| [b"{", &pieces.concat()[..], b"}"].concat();
    let mut bodies = vec![
        [b"\xef\xbb\xbf", &object(&[members])[..]].concat(),
        [b"\0 ", &object(&[members])[..]].concat(),
        [&object(&[members])[..], b"\n\0"].concat(),
    ];
    for odd in ODD {
        bodies.push(object(&[b"\"odd\":", odd, b",", members]));
        bodies.push(object(&[members, b",\"odd\":", odd]));
        bodies.push(object(&[b"\"odd\":[{\"in\":[", odd, b"]}],", members]));
    }
    for odd in ODD.iter().filter(|odd| odd.starts_with(b"\"")) {
        bodies.push(object(&[odd, b":1,", members]));
    }
    bodies
}

const ODD: [&[u8]; 24] = [
    // Halves of an emoji, as cutting a text by UTF-16 units leaves them.
    br#""\ud83d""#,
    br#""\ude00""#,
    br#""\ud83d\ud83d\ude00""#,
    br#""\ud83d\n""#,
    br#""\ud83d \" \\""#,
    // Latin-1, and truncated UTF-8.
    b"\"caf\xe9\"",
    b"\"\xff\"",
    b"\"\xf0\x9f\x98\"",
    b"\"\xed\xa0\xbd\"",
    // Escapes that JSON does not have.
    br#""\x41 \' C:\dir \u12""#,
    b"\"a\0b\"",
    b"\"a\tb\"",
    b"\"a\nb\"",
    // Numbers and words that JavaScript, Python and C have.
    b"NaN",
    b"-nan",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"+1",
    b".5",
    b"0x10",
    b"True",
    b"undefined",
];
