//! The promises of each stack.

mod again;
mod stream;
mod turn;
mod upload;

pub(crate) use self::{again::*, stream::*, turn::*, upload::*};
