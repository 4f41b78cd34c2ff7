//! Random schedules: tables of limits, lanes, callers, services beneath, drops, changes and responses of
//! all kinds, each drawn from a seed.
//!
//! `SCHEDULES_SEED` is the first seed and `SCHEDULES` the number of schedules: `SCHEDULES_SEED=$RANDOM` searches new
//! seeds. A schedule that fails prints how to run it alone.

mod busy;
mod busy_draw;
mod check;
mod draw;
mod fair;
mod found;
mod inner;
mod play;
mod replies;
mod schedule;
mod second_poll;
mod seeds;
mod slots;
mod story;
mod windows;

use busy::Busy;
use check::assert_promises;
use draw::{quick_schedule, schedule};
use fair::assert_fair;
use play::{play, play_on_threads};
use seeds::for_each_seed;

const SEED: u64 = 0;

#[test]
fn the_promises_hold_in_seventy_schedules() {
    for_each_seed("the_promises_hold", SEED, 70, promises);
}

#[test]
fn busy_lanes_get_their_shares_in_twenty_schedules() {
    for_each_seed("busy_lanes_get_their_shares", SEED, 20, shares);
}

#[test]
fn requests_end_and_slots_come_back_in_ten_schedules_on_threads() {
    for_each_seed("requests_end_and_slots_come_back", SEED, 10, threads);
}

#[test]
#[ignore = "a minute"]
fn the_promises_hold_in_two_thousand_schedules() {
    for_each_seed("the_promises_hold", SEED, 2_000, promises);
}

#[test]
#[ignore = "a minute"]
fn busy_lanes_get_their_shares_in_eight_hundred_schedules() {
    for_each_seed("busy_lanes_get_their_shares", SEED, 800, shares);
}

#[test]
#[ignore = "a minute"]
fn requests_end_and_slots_come_back_in_two_hundred_schedules_on_threads() {
    for_each_seed("requests_end_and_slots_come_back", SEED, 200, threads);
}

fn promises(seed: u64) -> bool {
    let schedule = schedule(seed);
    assert_promises(&schedule, &play(&schedule));
    true
}

fn shares(seed: u64) -> bool {
    assert_fair(&Busy::draw(seed))
}

fn threads(seed: u64) -> bool {
    play_on_threads(&quick_schedule(seed));
    true
}
