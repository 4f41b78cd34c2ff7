//! The promises of each stack.

mod retry;
mod stream;
mod turn;
mod upload;

pub(crate) use self::{retry::*, stream::*, turn::*, upload::*};
