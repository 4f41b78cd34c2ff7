//! The API: its address, its key, and the client that sends to it.

pub(crate) mod client;
mod key;
mod mask;
mod masked;
pub(crate) mod path;
pub(crate) mod refused;
pub(crate) mod target;
