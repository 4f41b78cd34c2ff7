//! The length of a lane's responses.

use crate::words::Charge;

/// The running mean of the tokens that the responses of a lane took, as they stated it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Output {
    mean: f64,
    /// The number of responses seen, up to [`REMEMBERED`].
    seen: u32,
}

impl Output {
    /// Adds a response of `tokens` to the mean.
    pub(super) fn learn(&mut self, tokens: u64) {
        self.seen = (self.seen + 1).min(REMEMBERED);
        let tokens = tokens.min(LONGEST) as f64;
        self.mean += (tokens - self.mean) / f64::from(self.seen);
    }

    /// The tokens that a charge amounts to in a lane whose smallest token quota is `room`.
    ///
    /// A prompt larger than the quota can never fit. A request whose expected response is what makes it too
    /// large is charged all of the quota and admitted. If the server charges the longest possible response
    /// too (`reserves`), such a request never fits either.
    pub(super) fn tokens(&self, charge: Charge, reserves: bool, room: u64) -> u64 {
        match charge {
            Charge::Given(tokens) => tokens,
            Charge::Expected {
                prompt,
                choices,
                most,
            } => {
                let reserved = most.filter(|_| reserves);
                let each = reserved.unwrap_or_else(|| self.expect(most));
                let total = prompt.saturating_add(each.saturating_mul(choices.into()));
                if prompt > room || reserved.is_some() && total > room {
                    total
                } else {
                    dear(total).min(room)
                }
            }
        }
    }

    /// The expected length of a response that may have `most` tokens.
    fn expect(&self, most: Option<u64>) -> u64 {
        let guess = match self.seen {
            0 => most.unwrap_or(UNKNOWN),
            _ => self.mean.ceil() as u64,
        };
        guess.min(most.unwrap_or(u64::MAX))
    }
}

/// Adds 1 % to a number of tokens, both when it is expected and when it is settled. A server that counts by
/// the second has little room for several responses in a row that are longer than expected: in
/// `simulation/tests/tokens` it rejects a third as many with this.
pub(super) fn dear(tokens: u64) -> u64 {
    tokens.saturating_add(tokens.div_ceil(DEAR))
}

const DEAR: u64 = 100;
/// After this many responses the oldest count no more than a third of what they did. At a few a second that
/// is some twenty seconds.
const REMEMBERED: u32 = 64;
/// The expected length of a response before any has come, if the request sets no `max_tokens`: a few
/// paragraphs.
const UNKNOWN: u64 = 256;
/// No model writes more. Without this bound, a server that states an absurd number would spoil the mean for
/// hours.
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(prompt: u64, choices: u32, most: Option<u64>) -> Charge {
        Charge::Expected {
            prompt,
            choices,
            most,
        }
    }

    const ROOM: u64 = 100_000;

    #[test]
    fn the_mean_follows_and_what_is_absurd_is_not_believed() {
        let mut output = Output::default();
        let charge = expected(0, 1, None);
        assert_eq!(output.tokens(charge, false, ROOM), dear(UNKNOWN));
        (0..1_000).for_each(|_| output.learn(300));
        assert_eq!(output.tokens(charge, false, ROOM), dear(300));
        (0..REMEMBERED).for_each(|_| output.learn(600));
        let mean = output.mean;
        assert!((470.0..500.0).contains(&mean), "{mean}");
        output.learn(u64::MAX);
        assert!(
            output.mean < mean + (LONGEST / 63) as f64,
            "{}",
            output.mean
        );
        assert_eq!(
            output.tokens(expected(0, 1, Some(50)), false, ROOM),
            dear(50)
        );
        assert_eq!(output.tokens(expected(9, 0, None), false, ROOM), 10);
    }

    #[test]
    fn only_what_is_known_can_be_too_much() {
        let output = Output::default();
        let tokens =
            |prompt, most, reserves| output.tokens(expected(prompt, 1, Some(most)), reserves, ROOM);
        assert_eq!(tokens(ROOM, 5, false), ROOM);
        assert_eq!(tokens(ROOM + 1, 5, false), ROOM + 6);
        assert_eq!(tokens(0, u64::MAX, false), ROOM);
        assert_eq!(tokens(0, u64::MAX, true), u64::MAX);
        assert_eq!(tokens(0, ROOM, true), ROOM);
        assert_eq!(tokens(1, ROOM, true), ROOM + 1);
        assert_eq!(dear(u64::MAX), u64::MAX);
    }
}
