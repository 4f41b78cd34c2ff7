//! The items of a corpus, with their results.

use crate::failure::Failure;

/// One item, with its result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Item<Id, In, Out> {
    /// The item's, as it was given.
    pub id: Id,
    /// The input, as it was given.
    pub input: In,
    /// The output, or why there is none.
    pub result: Result<Out, Failure>,
}
