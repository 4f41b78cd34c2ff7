//! Most of a hundred thousand waiting requests are cancelled, at random instants.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use testing::{now, virtual_time};
use tokio::time::sleep;
use tower_together::{Limiter, Limits, Quota};

use super::{CHAT, by_hand::Waiting, chat};

const MANY: usize = 100_000;

#[test]
fn in_a_storm_of_cancels_nobody_is_lost_and_the_rest_leave_at_their_instants_in_order() {
    virtual_time().block_on(async {
        let mut random = Rng::with_seed(1);
        // Ten a millisecond.
        let quota = Quota::per_minute(600_000).unwrap();
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
        let queue_of = |number: usize| (number % 7, number / 7 % 3);
        let mut waiting = Waiting::default();
        for number in 0..MANY {
            let (model, caller) = queue_of(number);
            let call = chat().with_model(model.to_string());
            waiting.add(&limiter, call.with_caller(&caller.to_string()));
        }
        let start = now();
        let mut left: Vec<(usize, Duration)> = Vec::new();
        waiting.poll_all(|number, _| left.push((number, Duration::ZERO)));
        let mut cancelled = 0;
        while left.len() + cancelled < MANY {
            sleep(Duration::from_millis(1)).await;
            while cancelled < MANY * 9 / 10 && random.u16(..1_000) > 0 {
                cancelled += usize::from(match random.u8(..50) {
                    0 => waiting.cancel_woken(),
                    _ => waiting.cancel(random.usize(..MANY)),
                });
            }
            waiting.poll_woken(|number, _| left.push((number, start.elapsed())));
            let nobody_is_lost = start.elapsed() < Duration::from_secs(2);
            assert!(nobody_is_lost, "{} left, {cancelled} cancelled", left.len());
        }
        assert_eq!(limiter.snapshot().waiting, 0);
        let mut last = BTreeMap::new();
        for (nth, (number, at)) in (0..).zip(left) {
            let due = Duration::from_nanos(100_333) * nth;
            let late = at.checked_sub(due).expect("not early");
            assert!(late < Duration::from_millis(3), "{nth} is {late:?} late");
            let before = last.insert(queue_of(number), number);
            assert!(before < Some(number), "in order");
        }
    });
}
