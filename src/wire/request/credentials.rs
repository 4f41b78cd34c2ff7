/// The key in an `authorization` header. `Bearer` is matched in any case. The value of another scheme is
/// returned whole.
pub(crate) fn credentials(value: &[u8]) -> &[u8] {
    const SCHEME: &[u8] = b"Bearer ";
    let key = match value.split_at_checked(SCHEME.len()) {
        // The usual spelling first: it is cheaper to compare.
        Some((scheme, key)) if scheme == SCHEME || scheme.eq_ignore_ascii_case(SCHEME) => key,
        _ => value,
    };
    key.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_not_the_key() {
        for value in ["Bearer k", "bearer k", "BEARER  k ", "k", " k"] {
            assert_eq!(credentials(value.as_bytes()), b"k", "{value}");
        }
        assert_eq!(credentials(b"Basic eA=="), b"Basic eA==");
        assert_eq!(credentials(b"Bearer"), b"Bearer");
        assert_eq!(credentials(b""), b"");
    }
}
