//! Bodies: what the layers ask of a request's, and what they make of a response's.
//!
//! A layer fits a client whatever its body type, as long as [`RequestBody`] is implemented for it:
//!
//! | body | the model, and its tokens, are read from it | sent again |
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
//! The model is the `model` of a JSON object, or of a form (`multipart/form-data`, as audio is sent). A
//! form of reqwest's own `multipart` is a stream: there [`Model`](crate::extension::Model) says it, or
//! all such requests share one lane.
//!
//! A body is sent byte for byte, every time. The one exception is made where a caller asked for it: a
//! [fallback](crate::fallback) model is named where the first one was.
//!
//! Copies and records are bounded by the retry layer's [`ReplayBuffer`]: a body that is larger is sent
//! once, and its answer returned, whatever it is. Of a request that may not be sent again
//! ([`Retries::off`](crate::extension::Retries::off)) nothing is kept.

mod opaque;
mod original;
mod peek;
mod refusal;
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
    original::Original,
    peek::{Bound, Peek},
    refusal::refusal,
    timer::Timer,
};
