//! Files, and the jobs that are made of them: fine-tunes and batches.

mod batch;
mod files;
mod fine_tune;
mod hints;
mod job;
mod kinds;
mod rules;
mod upload;
mod world;

pub(crate) use self::{
    batch::Line,
    upload::Upload,
    world::{JobRequest, STORAGE, World},
};
pub use self::{
    kinds::{Fate, JobKind, JobReport},
    rules::Jobs,
};
