//! The API: its address, its key, and the client that sends to it.

pub(crate) mod client;
mod key;
pub(crate) mod key_rejected;
mod mask;
mod masked;
pub(crate) mod path;
pub(crate) mod target;
