//! Charges, corrected to the use that was reported.

/// A charge of a time, and the use that takes its place.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Correction {
    pub(in crate::engine) at: u64,
    pub(in crate::engine) charged: u64,
    pub(in crate::engine) used: u64,
}

impl Correction {
    /// A sum of what was taken, without the error.
    pub(super) fn of(self, taken: u64) -> u64 {
        taken.saturating_add(self.used).saturating_sub(self.charged)
    }
}
