use crate::{header::UsageReader, limiter::Permit};

/// The permit of a request whose answer's body says what it cost: settled at the body's end, be it
/// early, and then dropped.
pub(super) struct Watch {
    permit: Permit,
    usage: UsageReader,
}

impl Watch {
    pub(super) fn new(permit: Permit, usage: UsageReader) -> Self {
        Self { permit, usage }
    }

    pub(super) fn holds_slot(&self) -> bool {
        self.permit.holds_slot()
    }

    /// More of the body passes.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.usage.read(bytes);
    }
}

impl Drop for Watch {
    /// Of a body that ends early what is known counts; where that is nothing, the charge stands.
    fn drop(&mut self) {
        if let Some(usage) = self.usage.found() {
            self.permit.used(usage);
        }
    }
}
