//! Parts of tests that more than one test program uses.
#![allow(
    missing_debug_implementations,
    missing_docs,
    reason = "names say it, and only this workspace reads them"
)]

mod example;
mod layers;
mod odd;
pub mod promises;
pub mod redis;
pub mod script;
pub mod table;
mod until;
mod virtual_time;

pub use self::{
    example::example,
    layers::exact,
    odd::odd_bodies,
    until::{PATIENCE, until},
    virtual_time::{now, virtual_time},
};
