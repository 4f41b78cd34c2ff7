//! What ARCHITECTURE.md says of the code, compared with the code.

mod circles;
mod layers;
mod promises;
