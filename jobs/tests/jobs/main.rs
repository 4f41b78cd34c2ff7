//! Batches, fine-tunes and corpora: each item is paid once and has one outcome.

mod arrivals;
mod asked;
mod batches;
mod corpus;
mod fine_tunes;
