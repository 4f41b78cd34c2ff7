//! Requests that fail on purpose.

mod date;
mod faults;
mod shape;

use std::{collections::BTreeMap, time::SystemTime};

use self::faults::FAULTS;
use crate::{answer::Answer, latency::scrambled};

/// Draws the faults, and counts them.
#[derive(Debug)]
pub(crate) struct Chaos {
    seed: u64,
    asked: u64,
    counts: [u64; FAULTS.len()],
}

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            asked: 0,
            counts: [0; FAULTS.len()],
        }
    }

    /// The response to the next request, if that is one that fails. `now` is for the dates in it.
    pub(crate) fn next(&mut self, now: SystemTime) -> Option<Answer> {
        let fault = draw(self.seed, self.asked);
        self.asked += 1;
        let fault = fault?;
        self.counts[fault] += 1;
        let (_, response) = FAULTS[fault];
        Some(response(now))
    }

    /// How often each fault has happened, by name.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let names = FAULTS.iter().map(|(name, _)| *name);
        names.zip(self.counts).collect()
    }
}

/// The place of the `nth` request's fault in the list, if it has one.
///
/// Requests come in blocks, one fault in each; as many blocks as there are faults are a round, in
/// which each has its turn. Blocks are shorter in the first round.
fn draw(seed: u64, nth: u64) -> Option<usize> {
    let faults = FAULTS.len() as u64;
    let (block, place, length) = match nth.checked_sub(faults * FIRST_BLOCKS) {
        None => (nth / FIRST_BLOCKS, nth % FIRST_BLOCKS, FIRST_BLOCKS),
        Some(later) => (faults + later / BLOCKS, later % BLOCKS, BLOCKS),
    };
    // Never the first of a block: it would come right after the fault that ends the block before.
    let unlucky = 1 + scrambled(scrambled(seed).wrapping_add(block)) % (length - 1);
    let turn = (block % faults) as usize;
    (place == unlucky).then(|| order(seed, block / faults)[turn])
}

/// The order of the faults in a round: Fisher and Yates' shuffle.
fn order(seed: u64, round: u64) -> [usize; FAULTS.len()] {
    let mut order = std::array::from_fn(|place| place);
    let mut dice = scrambled(seed ^ !round);
    for last in (1..order.len()).rev() {
        dice = scrambled(dice);
        order.swap(last, (dice % (last as u64 + 1)) as usize);
    }
    order
}

/// Short, so that a test of 240 requests meets every fault.
const FIRST_BLOCKS: u64 = 10;

/// Long enough that a client which copes gets most of its work done.
const BLOCKS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: std::ops::Range<u64> = 0..200;

    #[test]
    fn each_fault_happens_once_in_the_first_240_and_once_in_each_480_after() {
        for seed in SEEDS {
            for requests in [0..240, 240..720, 720..1200] {
                let mut drawn: Vec<_> = requests.filter_map(|nth| draw(seed, nth)).collect();
                drawn.sort_unstable();
                assert!(drawn.into_iter().eq(0..FAULTS.len()), "seed {seed}");
            }
        }
    }

    #[test]
    fn faults_are_spread_out() {
        for seed in SEEDS {
            let drawn: Vec<_> = (0..2_000).map(|nth| draw(seed, nth).is_some()).collect();
            assert!(!drawn[0], "seed {seed}");
            assert!(drawn.windows(2).all(|two| two != [true; 2]), "seed {seed}");
            let first = drawn[..250].iter().filter(|failed| **failed).count();
            assert!(first <= 250 / 8, "seed {seed}: {first}");
        }
    }

    #[test]
    fn seeds_differ_and_hold() {
        let trace = |seed| (0..240).map(move |nth| draw(seed, nth));
        for seed in SEEDS {
            assert!(trace(seed).eq(trace(seed)));
            assert!(!trace(seed).eq(trace(seed + 1)), "seed {seed}");
        }
    }

    #[test]
    fn names_are_stable_to_look_at() {
        let counts = Chaos::new(0).counts();
        assert_eq!(counts.len(), FAULTS.len(), "no name twice");
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(counts.keys().all(|name| name.chars().all(kebab)));
    }
}
