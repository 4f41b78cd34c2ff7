//! Bodies: what the layers ask of a request's, and what they make of a response's.
//!
//! A layer fits a client whatever its body type, as long as [`RequestBody`] is implemented for it:
//! it is for `Full`, `Empty`, `String`, `Vec<u8>`, `Bytes`, `&'static str`, `()`, `BoxBody` and
//! `UnsyncBoxBody`, for axum's with the feature `axum`, and for hyper's `Incoming` with the feature
//! `hyper`. Wrap any other in [`Opaque`].

mod opaque;
mod request;
mod response;

pub use self::{opaque::Opaque, request::RequestBody, response::ResponseBody};
