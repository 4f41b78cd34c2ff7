use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::OnceLock,
};

/// The API key of a request, as a number that reveals nothing of the key.
///
/// It is a keyed hash (SipHash with this process's own random key). An outsider cannot find two keys that
/// collide, and no part of a key is ever kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(pub(crate) u64);

impl KeyId {
    /// The key that all requests without a key share.
    pub(crate) const ANONYMOUS: Self = Self(0);

    pub(crate) fn is_anonymous(self) -> bool {
        self == Self::ANONYMOUS
    }

    pub(crate) fn of_secret(secret: &[u8]) -> Self {
        Self(hash(&secret))
    }

    pub(crate) fn of_name(name: &str) -> Self {
        // A name and a key of the same letters have different ids.
        Self(hash(&(name, "name")))
    }
}

/// The caller of a request, as a keyed hash of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallerId(pub(crate) u64);

/// This process's own keyed hash.
pub(crate) fn hash(value: &impl Hash) -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(value)
}
