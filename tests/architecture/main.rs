//! Compares ARCHITECTURE.md with the code.

mod circles;
mod layers;
mod promises;
