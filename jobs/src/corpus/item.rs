//! What comes of a corpus.

use crate::failure::Failure;

/// What came of one item.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Item<Id, In, Out> {
    /// The item's, as it was given.
    pub id: Id,
    /// What was given.
    pub input: In,
    /// What came of it.
    pub result: Result<Out, Failure>,
}
