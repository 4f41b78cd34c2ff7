//! Compares ARCHITECTURE.md with the code.

mod circles;
mod closed;
mod layers;
mod promises;
