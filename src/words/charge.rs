/// What a request is charged of its token quotas, until its answer says what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// So many tokens: somebody said so.
    Given(u64),
    /// A prompt, and answers of a length that only the lane can guess.
    Expected {
        prompt: u64,
        /// How many; 0 where there is no text in the answer.
        answers: u32,
        /// How long each may be.
        most: Option<u64>,
    },
}

impl Charge {
    pub(crate) const NOTHING: Self = Self::Given(0);

    /// How many answers of a length to be guessed it is for.
    pub(crate) fn answers(self) -> u8 {
        match self {
            Self::Given(_) => 0,
            Self::Expected { answers, .. } => u8::try_from(answers).unwrap_or(u8::MAX),
        }
    }
}
