//! The secret is covered, whichever pieces it arrives in.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::Mask;

fn masked(secret: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut mask = Mask::new(Arc::from(secret));
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(mask.push(Bytes::copy_from_slice(piece)));
        // Only a possible beginning of the secret is held back.
        assert!(mask.held() < secret.len());
        let so_far: usize = out.len() + mask.held();
        let came: Vec<u8> = pieces.concat();
        assert!(came[..so_far].ends_with(&secret[..mask.held()]));
    }
    out.extend(mask.end());
    out
}

proptest! {
    /// The secret has two letters, so that its beginning is everywhere.
    #[test]
    fn no_split_lets_it_through(
        secret in "[ab]{1,6}",
        text in "[ab]{0,60}",
        cuts in prop::collection::vec(0..61_usize, 0..12),
    ) {
        let (secret, text) = (secret.as_bytes(), text.as_bytes());
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let out = masked(secret, &pieces);
        prop_assert_eq!(out.len(), text.len());
        prop_assert!(!out.windows(secret.len()).any(|part| part == secret));
        // The result is the same as for one piece, and as the standard library's.
        let text = std::str::from_utf8(text).unwrap();
        let plain = text.replace(std::str::from_utf8(secret).unwrap(), &"*".repeat(secret.len()));
        prop_assert_eq!(out, plain.into_bytes());
    }

    /// The cover is never part of the secret: with the text after it, it could otherwise form the secret again.
    #[test]
    fn nor_does_what_covers_it(
        secret in "[*#a]{1,6}",
        before in "[*#a]{0,20}",
        after in "[*#a]{0,20}",
        size in 1..9_usize,
    ) {
        let [secret, before, after] = [&secret, &before, &after].map(|text| text.as_bytes());
        let text = [before, secret, after].concat();
        let pieces: Vec<_> = text.chunks(size).collect();
        let out = masked(secret, &pieces);
        prop_assert_eq!(out.len(), text.len());
        prop_assert!(!out.windows(secret.len()).any(|part| part == secret));
    }
}
