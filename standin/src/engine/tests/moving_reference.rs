//! Limits that move, against rules written a second time, slowly: they look at all that was
//! counted before, each time.

use std::time::Duration;

use crate::engine::{Decision, Engine};
use crate::{Limit, Route, Rules};

/// The number that holds at a time: the last of those that have begun.
struct Steps(Vec<(u64, u64)>);

impl Steps {
    fn at(&self, now: u64) -> u64 {
        let begun = self.0.iter().rev().find(|(after, _)| *after <= now);
        begun.expect("one begins at 0").1
    }

    fn random(random: &mut fastrand::Rng) -> Self {
        let mut steps = vec![(0, random.u64(1..20))];
        for _ in 0..random.usize(1..6) {
            let after = steps[steps.len() - 1].0 + random.u64(1..4_000);
            steps.push((after, random.u64(1..20)));
        }
        Self(steps)
    }

    fn plan(&self, first: fn(u32, Duration) -> Limit, per: u64) -> Limit {
        let limit = first(self.0[0].1 as u32, Duration::from_micros(per));
        self.0[1..].iter().fold(limit, |limit, (after, max)| {
            limit.then(Duration::from_micros(*after), *max as u32)
        })
    }
}

/// Whether one more fits into a bucket that is as large as its rate, after those accepted.
fn bucket_fits(steps: &Steps, per: u64, past: &[u64], now: u64) -> bool {
    let mut level = steps.at(0) * per;
    let mut past = past.iter().peekable();
    for tick in 0..=now {
        let max = steps.at(tick);
        if tick > 0 {
            // The refill of the tick that has just passed has the rate before.
            let before = steps.at(tick - 1);
            level = (level + before).min(before * per).min(max * per);
        }
        while past.next_if_eq(&&tick).is_some() {
            level -= per;
        }
    }
    level >= per
}

fn compare(
    limit: Limit,
    count_refused: bool,
    seed: u64,
    times: usize,
    fits: impl Fn(&[u64], u64) -> bool,
) {
    let engine = Engine::new(Rules::none().limit(Route::Chat, limit));
    let mut engine = engine.count_refused(count_refused);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut past, mut now) = (Vec::new(), 0);
    for _ in 0..times {
        now += match random.u8(0..20) {
            0..8 => 0,
            8..19 => random.u64(0..300),
            _ => random.u64(0..3_000),
        };
        let expected = fits(&past, now);
        let decision = engine.decide("key", "model", Route::Chat, now);
        assert_eq!(
            decision == Decision::Accept,
            expected,
            "seed {seed}, {now} µs"
        );
        if expected || count_refused {
            past.push(now);
        }
    }
}

#[test]
fn buckets_equal_the_reference() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (steps, per) = (Steps::random(&mut random), random.u64(1..3_000));
        // A burst of all of it, so that it moves as the number does.
        let limit = steps.plan(|max, per| Limit::gcra(max, per, max), per);
        compare(limit, false, seed, 60, |past, now| {
            bucket_fits(&steps, per, past, now)
        });
    }
}

#[test]
fn windows_equal_the_reference() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (steps, per) = (Steps::random(&mut random), random.u64(1..3_000));
        let counted = random.bool();
        compare(
            steps.plan(Limit::sliding, per),
            counted,
            seed,
            400,
            |past, now| {
                let within = past.iter().filter(|at| now - **at < per);
                (within.count() as u64) < steps.at(now)
            },
        );
        compare(
            steps.plan(Limit::fixed, per),
            counted,
            seed,
            400,
            |past, now| {
                let same = past.iter().filter(|at| **at / per == now / per);
                (same.count() as u64) < steps.at(now)
            },
        );
    }
}

#[test]
fn dynamic_limits_equal_the_reference() {
    const HOUR: u64 = 3_600_000_000;
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let rules = Rules::none().limit(Route::Chat, Limit::dynamic(6, 30));
        let mut engine = Engine::new(rules);
        // The level of a bucket of one, in requests; below 60 a minute it is never larger.
        let (mut level, mut now, mut past) = (1.0_f64, 0, Vec::<u64>::new());
        for _ in 0..2_000 {
            let longest = *random.choice(&[6_000_000, 60_000_000]).unwrap();
            let next = now + random.u64(0..longest);
            // The rate changes when a success is an hour old.
            let mut begins: Vec<_> = past
                .iter()
                .map(|at| at + HOUR)
                .filter(|at| (now..next).contains(at))
                .collect();
            begins.push(next);
            for until in begins {
                let recent = past.iter().filter(|at| *at + HOUR > now).count();
                let per_hour = (2.0 * recent as f64).clamp(6.0 * 60.0, 30.0 * 60.0);
                level = (level + per_hour * (until - now) as f64 / HOUR as f64).min(1.0);
                now = until;
            }
            // A float may be wrong by as little as this, and then proves nothing.
            if (level - 1.0).abs() < 1e-9 && level < 1.0 {
                continue;
            }
            let decision = engine.decide("key", "model", Route::Chat, now);
            assert_eq!(decision == Decision::Accept, level >= 1.0, "seed {seed}");
            if level >= 1.0 {
                level -= 1.0;
                past.push(now);
            }
        }
        assert!(past.len() > 500, "seed {seed}: {}", past.len());
    }
}
