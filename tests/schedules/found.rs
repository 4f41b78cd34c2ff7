//! Schedules that failed, each with the fault that it found.

use crate::{promises, shares};

/// While the service beneath is not ready for some seconds, one more waiter is polled every 10 ms, and all of
/// these again once it is ready. Nothing bounds that by what is sent, so a turn that lapses counts too.
#[test]
fn a_service_that_is_pending_for_long_has_few_waiters_polled() {
    assert!(promises(1_344));
}

/// The same fault with a `ConcurrencyLimit` as the service, whose permit is taken for long.
#[test]
fn a_permit_that_is_taken_for_long_has_few_waiters_polled() {
    assert!(promises(83));
}

/// A lane with a slower limit of its own made the limit that it shared idle for a quarter of the time.
#[test]
fn a_lane_with_a_slower_limit_leaves_the_shared_one_busy() {
    assert!(shares(9));
}

/// The same fault with three lanes under two shared limits, of which the middle lane is under both.
#[test]
fn a_lane_under_two_shared_limits_leaves_both_busy() {
    assert!(shares(82));
}

/// The same fault with two lanes that share a limit within a larger one.
#[test]
fn lanes_that_share_a_limit_within_another_leave_one_of_both_busy() {
    assert!(shares(109));
}

/// A lane that another limit paces got a sixth of its share of an unpaced window.
#[test]
fn a_paced_lane_gets_its_share_of_an_unpaced_window() {
    assert!(shares(16));
}

/// The same fault with a lane that waits for slots.
#[test]
fn a_lane_with_slots_gets_its_share_of_an_unpaced_window() {
    assert!(shares(8));
}

/// The same fault with lanes that another unpaced window holds back: they got a quarter.
#[test]
fn lanes_under_two_unpaced_windows_get_their_share_of_both() {
    assert!(shares(285_532_943_622_609));
}

/// A window that became paced at less was owed for hours, long after it had passed.
#[test]
fn a_window_that_becomes_paced_is_owed_for_no_longer_than_it_lasts() {
    assert!(promises(29_155_493_515_300));
}

/// A table with a burst let that leave on top of what had left at the pace before.
#[test]
fn a_burst_of_another_table_is_no_more_than_its_windows_hold() {
    for seed in [15_093_698_763_331, 32_425_239_422_353] {
        assert!(promises(seed));
    }
}
