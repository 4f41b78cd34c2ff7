//! Parses what requests and responses say, in headers and bodies.

mod json;
mod media;
pub(crate) mod request;
pub(crate) mod response;

pub use self::json::read_json;
