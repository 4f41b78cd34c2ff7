//! What each stack promises.

mod again;
mod stream;
mod turn;
mod upload;

pub(crate) use self::{again::*, stream::*, turn::*, upload::*};
