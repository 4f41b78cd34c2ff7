//! Without the feature `redis` no limit is shared: the types of the module have no value.

use super::{
    KeyIndex, LaneIndex, LimitIndex, SharingSnapshot, key::Key, lane::Lane, moment::Moment,
    rules::Rules, state::State,
};
use crate::{
    quota::News,
    words::{Call, Instant, Rule, Unit, Weight},
};

#[derive(Debug)]
pub(super) enum Sharing {}

#[derive(Debug)]
pub(super) enum KeyShare {}

#[derive(Debug)]
pub(super) struct LaneShare {
    pub(super) lease: Lease,
    pub(super) learns: bool,
    never: Never,
}

#[derive(Debug)]
pub(super) enum Lease {}

#[derive(Debug)]
enum Never {}

pub(super) enum Dispatch {}

impl Dispatch {
    pub(super) fn run(self) {
        match self {}
    }
}

impl Lease {
    pub(super) fn next(&mut self, _: Instant) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn first(&self, _: Instant) -> Instant {
        match *self {}
    }
}

impl LaneShare {
    pub(super) fn depart(&mut self, _: Weight, _: Instant) -> Weight {
        match self.never {}
    }

    pub(super) fn owes(&mut self, _: Weight, _: Weight) {
        match self.never {}
    }

    pub(super) fn rejected(&mut self, _: Option<(News, Unit, Weight)>, _: Instant, _: Instant) {
        match self.never {}
    }

    pub(super) fn named(&mut self, _: Unit, _: f64, _: Instant, _: Instant) {
        match self.never {}
    }

    pub(super) fn slowest(&self) -> Option<Unit> {
        match self.never {}
    }

    pub(super) fn turn_away(&mut self) {
        match self.never {}
    }

    pub(super) fn granted(&self) -> u64 {
        match self.never {}
    }

    pub(super) fn lapsed(&self) -> u64 {
        match self.never {}
    }
}

impl KeyShare {
    pub(super) fn owes(&mut self, _: LimitIndex, _: Weight, _: Weight) {
        match *self {}
    }
}

impl Lane {
    pub(super) fn is_leased(&self, _: &Rule) -> bool {
        false
    }
}

impl Key {
    pub(super) fn share_lane(&mut self, _: LaneIndex, _: &Rules) {
        debug_assert!(self.share.is_none());
    }

    pub(super) fn forget_shared_limits(&mut self) {}

    pub(super) fn processes(&self) -> u64 {
        0
    }

    pub(super) fn fits_a_share(&self, _: LaneIndex, _: Weight, _: &Rules) -> bool {
        true
    }

    pub(super) fn depart_shared(
        &mut self,
        _: LaneIndex,
        _: Weight,
        _: Weight,
        _: &Rules,
        _: Instant,
    ) {
    }
}

impl State {
    pub(super) fn share_key(&mut self, _: KeyIndex, _: &Call) {
        debug_assert!(self.sharing.is_none());
    }

    pub(super) fn warn_of_slots(&mut self, _: KeyIndex, _: LaneIndex) {}

    pub(super) fn go_alone(&mut self, _: KeyIndex, _: &mut Moment) {}

    pub(super) fn send_errand(&mut self, _: KeyIndex, _: Instant) -> Instant {
        Instant::NEVER
    }

    pub(super) fn sharing_snapshot(&self, _: Instant) -> Option<SharingSnapshot> {
        None
    }

    pub(super) fn dispatch(&mut self) -> Option<Dispatch> {
        None
    }
}
