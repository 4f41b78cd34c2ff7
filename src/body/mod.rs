//! Request bodies that the layers can read and replay, and response bodies that they return.
//!
//! A layer works with any client whose request body implements [`RequestBody`], as these do:
//!
//! | body | model and tokens are read from it | can be sent again |
//! |---|---|---|
//! | `Full<Bytes>`, `Empty`, `Bytes`, `&'static str`, `()` | yes | yes, without a copy |
//! | `Full` of other data | if it lies in one piece | yes, from a clone that no bound counts |
//! | `String`, `Vec<u8>` | yes | yes, from a copy |
//! | reqwest's `Body` (feature `reqwest`), of bytes | yes | yes, without a copy |
//! | reqwest's `Body`, of a stream | no | yes, recorded while it is sent |
//! | `BoxBody`, `UnsyncBoxBody`, axum's `Body` (feature `axum`), tonic's (`tonic`) | no | yes, recorded while it is sent |
//! | [`Opaque`], around any body | no | yes, recorded while it is sent |
//! | hyper's `Incoming` (feature `hyper`) | no | no: wrap it in `Opaque` |
//!
//! The model is the `model` of a JSON object, or of a form (`multipart/form-data`, the format of audio
//! requests). reqwest's own `multipart` form is a stream. [`Model`](crate::extension::Model) names its model;
//! without it, all such requests share one lane.
//!
//! A body is sent byte for byte, in every attempt. The one exception is made at the caller's request: a
//! [fallback](crate::fallback) model's name replaces the first model's.
//!
//! Copies and records are bounded by the retry layer's [`ReplayBuffer`]: a larger body is sent once, and its
//! response is returned, whatever it is. Nothing is kept of a request whose retries are
//! [turned off](crate::extension::Retries::off).

mod asked;
mod opaque;
mod original;
mod peek;
mod rejection;
pub(crate) mod replay;
mod replay_buffer;
mod request;
mod timer;
mod whole;

pub use self::{
    opaque::Opaque,
    replay::Kept,
    replay_buffer::{ReplayBuffer, Reserved},
    request::RequestBody,
    whole::Whole,
};
/// The former name of [`ReplayBuffer`].
#[deprecated(since = "0.1.0", note = "renamed `ReplayBuffer`")]
pub type Memory = ReplayBuffer;

pub(crate) use self::{
    asked::{asked, model},
    original::Original,
    peek::{Bound, Peek},
    rejection::rejection,
    timer::Timer,
};
