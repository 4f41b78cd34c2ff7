//! Properties of every schedule, checked naively.

use std::{collections::HashMap, time::Duration};

use testing::table::Lane;

use crate::{
    schedule::{Schedule, ms},
    story::{Event, Events},
    windows::assert_never_over,
};

pub(crate) fn assert_promises(schedule: &Schedule, events: &Events) {
    assert_each_ends(schedule, events);
    assert_in_time(schedule, events);
    assert_pauses(schedule, events);
    assert_never_over(schedule, events);
}

fn assert_each_ends(schedule: &Schedule, events: &Events) {
    for n in 0..schedule.visits.len() {
        let ends = events.iter().filter(|(_, event)| match *event {
            Event::Rejected(other, _) | Event::Ended(other, _) | Event::Dropped(other) => {
                other == n
            }
            _ => false,
        });
        assert_eq!(ends.count(), 1, "{n} ends once");
    }
}

/// No request is sent after its deadline. From each event on, the next comes within an hour, the most that a server may
/// ask for, or within the time that the user's own limits take.
fn assert_in_time(schedule: &Schedule, events: &Events) {
    let longest = HOUR + schedule.longest_debt();
    let mut came = HashMap::new();
    let mut last = Duration::ZERO;
    for &(at, event) in events {
        match event {
            Event::Came(n) => drop(came.insert(n, at)),
            Event::Called(n) => {
                let deadline = schedule.visits[n]
                    .deadline
                    .map(|after| came[&n] + ms(after));
                assert!(
                    deadline.is_none_or(|deadline| at <= deadline),
                    "{n} is late"
                );
            }
            _ => {}
        }
        let idle = at - last;
        assert!(
            idle <= longest,
            "nothing happened for {idle:?} before {event:?}"
        );
        last = at;
    }
}

/// Nothing of a lane is sent while it is paused, and a pause is never cut short.
fn assert_pauses(schedule: &Schedule, events: &Events) {
    let mut paused: HashMap<Lane, Duration> = HashMap::new();
    for &(at, event) in events {
        match event {
            Event::Paused(n, until) => {
                let pause = paused.entry(schedule.visits[n].lane).or_insert(until);
                assert!(until >= *pause || *pause <= at, "{n} cuts a pause short");
                *pause = until;
            }
            Event::Called(n) => {
                let pause = paused.get(&schedule.visits[n].lane);
                assert!(
                    pause.is_none_or(|until| at >= *until),
                    "{n} is sent in a pause"
                );
            }
            _ => {}
        }
    }
}

/// An hour, and a moment for timers and inner services that are late.
const HOUR: Duration = Duration::from_secs(3_600 + 10);
