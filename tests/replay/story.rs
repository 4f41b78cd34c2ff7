//! A body, and steps of attempts at it, drawn at random.

use proptest::prelude::*;

use crate::source::{Script, scripts};

/// One step. A number selects the attempt, modulo the number of attempts.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is polled, whether it was woken or not.
    Poll(usize),
    /// It is polled by another task than before.
    Move(usize),
    Drop(usize),
    Again,
    /// The record is dropped.
    LetGo,
    /// Further frames of the source can be read.
    Open(usize),
    /// The source wakes the task that it owes a wake.
    Wake,
    /// The source is pending once, and wakes its task at once.
    Stall,
    /// Every woken attempt is polled, until none is woken.
    Settle,
    /// These steps happen during the next poll of the source, before it returns, as threads would do.
    Meanwhile(Vec<Step>),
}

/// A body, and the steps performed on it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) script: Script,
    /// The bytes of it that may be kept.
    pub(crate) each: usize,
    pub(crate) steps: Vec<Step>,
    /// The order in which everything is dropped in the end.
    pub(crate) end: Vec<usize>,
}

pub(crate) fn stories() -> impl Strategy<Value = Story> {
    let each = prop_oneof![3 => Just(1 << 20), 2 => 0..40usize];
    let steps = prop_oneof![
        8 => plain(),
        2 => prop::collection::vec(plain(), 1..5).prop_map(Step::Meanwhile),
    ];
    let steps = prop::collection::vec(steps, 0..40);
    let end = prop::collection::vec(0..8usize, 8);
    (scripts(), each, steps, end).prop_map(|(script, each, steps, end)| Story {
        script,
        each,
        steps,
        end,
    })
}

fn plain() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..8usize).prop_map(Step::Poll),
        1 => (0..8usize).prop_map(Step::Move),
        2 => (0..8usize).prop_map(Step::Drop),
        3 => Just(Step::Again),
        1 => Just(Step::LetGo),
        5 => (1..4usize).prop_map(Step::Open),
        4 => Just(Step::Wake),
        1 => Just(Step::Stall),
        2 => Just(Step::Settle),
    ]
}
