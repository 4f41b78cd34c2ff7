//! What ARCHITECTURE.md says of the code, compared with the code.

mod layers;
mod promises;
