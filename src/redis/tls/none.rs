//! Without the feature `redis-tls` no connection is encrypted.

pub(super) fn provide_cryptography() {}
