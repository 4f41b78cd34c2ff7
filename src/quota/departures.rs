//! Departures in order, with sums over any beginning of them, in a tree: no operation takes longer than the
//! logarithm of their number.

use crate::words::{Instant, Settled, Weight};

/// Departures, each with its instant and weight. Those of one instant are one.
#[derive(Clone, Debug)]
pub(crate) struct Departures {
    root: Branch,
}

#[derive(Clone, Debug)]
struct Branch {
    /// No departure in it is earlier.
    first: Instant,
    sum: u64,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<(Instant, u64)>),
    Inner(Vec<Branch>),
}

impl Default for Departures {
    fn default() -> Self {
        Self {
            root: Branch::new(Node::Leaf(Vec::new())),
        }
    }
}

impl Departures {
    /// The sum of all weights, saturated if a server states absurd costs.
    pub(crate) fn sum(&self) -> u64 {
        self.root.sum
    }

    pub(crate) fn last(&self) -> Option<Instant> {
        self.root.last_until(Instant::NEVER)
    }

    /// Settles the weight at an instant.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled) {
        let (_, split) = self.root.settle(at, settled);
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, Self::default().root);
            self.root = Branch::new(Node::Inner(vec![left, right]));
        }
    }

    /// The earliest instant up to which the weights sum to `sum`.
    pub(crate) fn reach(&self, sum: u64) -> Option<Instant> {
        let (mut branch, mut rest) = (&self.root, sum);
        if branch.sum < sum {
            return None;
        }
        loop {
            match &branch.node {
                Node::Leaf(departures) => {
                    let mut departures = departures.iter();
                    let (at, _) = departures.find(|(_, weight)| is_reached(&mut rest, *weight))?;
                    return Some(*at);
                }
                Node::Inner(branches) => {
                    let mut branches = branches.iter();
                    branch = branches.find(|branch| is_reached(&mut rest, branch.sum))?;
                }
            }
        }
    }

    /// The sum of the weights after an instant.
    pub(crate) fn sum_after(&self, at: Instant) -> u64 {
        let (mut branch, mut sum) = (&self.root, 0_u64);
        loop {
            match &branch.node {
                Node::Leaf(departures) => {
                    let after = departures.iter().rev().take_while(|(other, _)| *other > at);
                    return after.fold(sum, |sum, (_, weight)| sum.saturating_add(*weight));
                }
                Node::Inner(branches) => {
                    let split = index(branches, at);
                    let after = branches[split + 1..].iter();
                    sum = after.fold(sum, |sum, branch| sum.saturating_add(branch.sum));
                    branch = &branches[split];
                }
            }
        }
    }

    /// Forgets the departures up to an instant. Returns the last of them.
    pub(crate) fn forget(&mut self, until: Instant) -> Option<Instant> {
        if self.root.first > until {
            return None;
        }
        let last = self.root.last_until(until)?;
        self.root.forget(until);
        while let Node::Inner(branches) = &mut self.root.node {
            match branches.len() {
                1 => self.root = branches.remove(0),
                _ => break,
            }
        }
        Some(last)
    }

    /// All of them, in order.
    pub(crate) fn to_vec(&self) -> Vec<(Instant, u64)> {
        let mut all = Vec::new();
        self.root.collect(&mut all);
        all
    }
}

impl Branch {
    fn new(node: Node) -> Self {
        let (first, sum) = match &node {
            Node::Leaf(departures) => (
                departures.first().map(|(at, _)| *at),
                departures
                    .iter()
                    .fold(0, |sum, (_, weight)| weight.saturating_add(sum)),
            ),
            Node::Inner(branches) => (
                branches.first().map(|branch| branch.first),
                branches
                    .iter()
                    .fold(0, |sum, branch| branch.sum.saturating_add(sum)),
            ),
        };
        Self {
            first: first.unwrap_or(Instant::NEVER),
            sum,
            node,
        }
    }

    /// Settles the weight at an instant. Returns the change, and a part that was split off.
    fn settle(&mut self, at: Instant, settled: Settled) -> (Settled, Option<Self>) {
        let (changed, split) = match &mut self.node {
            Node::Leaf(departures) => {
                let index = departures.partition_point(|(other, _)| *other < at);
                if departures.get(index).is_none_or(|(other, _)| *other != at) {
                    departures.insert(index, (at, 0));
                }
                let changed = settle(&mut departures[index].1, settled);
                (changed, split(departures).map(Node::Leaf))
            }
            Node::Inner(branches) => {
                let index = index(branches, at);
                let (changed, right) = branches[index].settle(at, settled);
                if let Some(right) = right {
                    branches.insert(index + 1, right);
                }
                (changed, split(branches).map(Node::Inner))
            }
        };
        self.first = self.first.min(at);
        settle(&mut self.sum, changed);
        let split = split.map(|node| {
            let right = Self::new(node);
            self.sum = self.sum.saturating_sub(right.sum);
            right
        });
        (changed, split)
    }

    fn forget(&mut self, until: Instant) {
        match &mut self.node {
            Node::Leaf(departures) => {
                let gone = departures.partition_point(|(at, _)| *at <= until);
                departures.drain(..gone);
            }
            Node::Inner(branches) => {
                branches.drain(..index(branches, until));
                branches[0].forget(until);
                if branches[0].first == Instant::NEVER && branches.len() > 1 {
                    branches.remove(0);
                }
            }
        }
        *self = Self::new(std::mem::replace(&mut self.node, Node::Leaf(Vec::new())));
    }

    fn last_until(&self, until: Instant) -> Option<Instant> {
        match &self.node {
            Node::Leaf(departures) => {
                let after = departures.partition_point(|(at, _)| *at <= until);
                Some(departures[after.checked_sub(1)?].0)
            }
            Node::Inner(branches) => branches[index(branches, until)].last_until(until),
        }
    }

    fn collect(&self, all: &mut Vec<(Instant, u64)>) {
        match &self.node {
            Node::Leaf(departures) => all.extend(departures),
            Node::Inner(branches) => branches.iter().for_each(|branch| branch.collect(all)),
        }
    }
}

/// The last branch that begins by an instant, or the first.
fn index(branches: &[Branch], at: Instant) -> usize {
    let after = branches.partition_point(|branch| branch.first <= at);
    after.saturating_sub(1)
}

/// The end of a node that is too wide. Departures are added at the end, so more stay than go.
fn split<T>(items: &mut Vec<T>) -> Option<Vec<T>> {
    (items.len() > WIDTH).then(|| items.split_off(WIDTH - WIDTH / 4))
}

/// Settles a weight, saturated if a server states absurd costs. Returns the change.
fn settle(weight: &mut u64, Settled { from, to }: Settled) -> Settled {
    let before = Weight(*weight);
    *weight = match to >= from {
        true => weight.saturating_add(to.0 - from.0),
        false => weight.saturating_sub(from.0 - to.0),
    };
    Settled {
        from: before,
        to: Weight(*weight),
    }
}

/// Whether `weight` reaches the rest of a sum. Otherwise takes it off.
fn is_reached(rest: &mut u64, weight: u64) -> bool {
    let reached = weight >= *rest;
    if !reached {
        *rest -= weight;
    }
    reached
}

/// The departures or branches in a node: a few cache lines.
const WIDTH: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::at;

    /// The same in a sorted list, step by step.
    #[derive(Default)]
    struct Listed(Vec<(Instant, u64)>);

    impl Listed {
        fn settle(&mut self, at: Instant, Settled { from, to }: Settled) {
            let index = self.0.partition_point(|(other, _)| *other < at);
            if self.0.get(index).is_none_or(|(other, _)| *other != at) {
                self.0.insert(index, (at, 0));
            }
            let weight = &mut self.0[index].1;
            *weight = weight.saturating_add(to.0).saturating_sub(from.0);
        }

        fn forget(&mut self, until: Instant) -> Option<Instant> {
            let gone = self.0.partition_point(|(at, _)| *at <= until);
            self.0.drain(..gone).next_back().map(|(at, _)| at)
        }

        fn reach(&self, sum: u64) -> Option<Instant> {
            let mut reached = 0;
            let mut departures = self.0.iter();
            let found = departures.find(|(_, weight)| {
                reached += weight;
                reached >= sum
            });
            found.map(|(at, _)| *at)
        }
    }

    proptest! {
        #[test]
        fn a_tree_says_what_a_list_says(
            steps in prop::collection::vec((0..4_u8, 0..400_u64, 0..9_u64, 0..9_u64), 1..2_000)
        ) {
            let (mut tree, mut list) = (Departures::default(), Listed::default());
            let mut begin = 0;
            for (step, (kind, second, from, to)) in (0_u64..).zip(steps) {
                let [from, to] = [from, to].map(Weight);
                let at = match kind {
                    // Most departures are the latest.
                    0 | 1 => at(1_000 + step),
                    2 => at(1_000 + begin + second),
                    _ => at(second),
                };
                if kind == 3 && second < 20 {
                    begin = step / 2;
                    let until = crate::quota::at(1_000 + begin);
                    prop_assert_eq!(tree.forget(until), list.forget(until));
                } else {
                    tree.settle(at, Settled { from, to });
                    list.settle(at, Settled { from, to });
                }
                let sum: u64 = list.0.iter().map(|(_, weight)| weight).sum();
                prop_assert_eq!(tree.sum(), sum);
                prop_assert_eq!(tree.last(), list.0.last().map(|(at, _)| *at));
                let wanted = 1 + second * sum / 400;
                prop_assert_eq!(tree.reach(wanted), list.reach(wanted));
                let after = list.0.iter().filter(|(other, _)| *other > at);
                prop_assert_eq!(tree.sum_after(at), after.map(|(_, weight)| weight).sum::<u64>());
            }
            prop_assert_eq!(tree.to_vec(), list.0);
        }
    }

    /// The number of departures and branches on the longest way to a departure.
    fn longest(branch: &Branch) -> usize {
        match &branch.node {
            Node::Leaf(departures) => departures.len(),
            Node::Inner(branches) => branches.len() + branches.iter().map(longest).max().unwrap(),
        }
    }

    #[test]
    fn no_way_to_a_departure_is_longer_than_the_logarithm_of_their_number() {
        let mut departures = Departures::default();
        for second in 0..100_000 {
            departures.settle(at(second), Settled::charge(Weight(1)));
            let settled = Settled {
                from: Weight(1),
                to: Weight(2),
            };
            departures.settle(at(second * 7 / 8), settled);
        }
        assert!(longest(&departures.root) <= 4 * WIDTH);
        departures.forget(at(99_990));
        assert_eq!(longest(&departures.root), 9);
    }
}
