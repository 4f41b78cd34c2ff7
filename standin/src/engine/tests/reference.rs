//! The engine's verdicts against rules written a second time: slow, but short enough to see that
//! they are right. They look at all that was counted before, each time.

use std::time::Duration;

use crate::engine::{Decision, Engine};
use crate::{Limit, Route, Rules};

#[derive(Clone, Copy, Debug)]
enum Naive {
    Fixed { max: u64, per: u64, phase: u64 },
    Sliding { max: u64, per: u64 },
    Bucket { max: u64, per: u64, burst: u64 },
}

impl Naive {
    /// Whether one more fits at `now`, after those counted in `past`.
    fn fits(self, past: &[u64], now: u64) -> bool {
        match self {
            Self::Fixed { max, per, phase } => {
                let window = |t: u64| (t as i64 - phase as i64).div_euclid(per as i64);
                (past.iter().filter(|t| window(**t) == window(now)).count() as u64) < max
            }
            Self::Sliding { max, per } => {
                (past.iter().filter(|t| now - **t < per).count() as u64) < max
            }
            Self::Bucket { max, per, burst } => {
                let (mut level, mut last) = (burst * per, 0);
                for t in past {
                    level = (burst * per).min(level + (t - last) * max);
                    (level, last) = (level.saturating_sub(per), *t);
                }
                (burst * per).min(level + (now - last) * max) >= per
            }
        }
    }

    fn limit(self) -> Limit {
        let micros = Duration::from_micros;
        match self {
            Self::Fixed { max, per, phase } => {
                Limit::fixed(max as u32, micros(per)).phase(micros(phase))
            }
            Self::Sliding { max, per } => Limit::sliding(max as u32, micros(per)),
            Self::Bucket { max, per, burst } => Limit::gcra(max as u32, micros(per), burst as u32),
        }
    }

    fn random(random: &mut fastrand::Rng) -> Self {
        let max = random.u64(1..20);
        let per = random.u64(1..5_000);
        match random.u8(0..3) {
            0 => Self::Fixed {
                max,
                per,
                phase: random.u64(0..per),
            },
            1 => Self::Sliding { max, per },
            _ => Self::Bucket {
                max,
                per,
                burst: random.u64(1..=max),
            },
        }
    }
}

/// A trace of two routes that have a limit each and one together.
fn compare(seed: u64, own: [Naive; 2], both: Naive, count_refused: bool) {
    let routes = [Route::Chat, Route::Embeddings];
    let rules = Rules::none()
        .limit(routes[0], own[0].limit())
        .limit(routes[1], own[1].limit())
        .shared(&routes, both.limit());
    let mut engine = Engine::new(rules).count_refused(count_refused);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut past, mut all) = ([Vec::new(), Vec::new()], Vec::new());
    let (mut now, mut verdicts) = (0, [0, 0]);
    for step in 0..400 {
        // Bursts at one instant, steady traffic, and now and then a rest.
        now += match random.u8(0..20) {
            0..6 => 0,
            6..19 => random.u64(0..400),
            _ => random.u64(0..10_000),
        };
        let which = random.usize(0..2);
        let expected = own[which].fits(&past[which], now) && both.fits(&all, now);
        let decision = engine.decide("key", "model", routes[which], now);
        assert_eq!(
            decision == Decision::Accept,
            expected,
            "seed {seed}, step {step}, {now} µs, {own:?} {both:?}, count_refused {count_refused}"
        );
        if expected || count_refused {
            past[which].push(now);
            all.push(now);
        }
        verdicts[usize::from(expected)] += 1;
    }
    assert!(
        verdicts[1] > 0,
        "seed {seed}: the trace must get through at times"
    );
}

#[test]
fn verdicts_equal_the_reference_on_random_traces() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let own = [Naive::random(&mut random), Naive::random(&mut random)];
        compare(seed, own, Naive::random(&mut random), random.bool());
    }
}

#[test]
fn per_second_is_fixed_windows_of_a_sixtieth() {
    let mut engine = Engine::new(Rules::none().limit(Route::Chat, Limit::per_second(301)));
    let naive = Naive::Fixed {
        max: 5,
        per: 1_000_000,
        phase: 0,
    };
    let mut random = fastrand::Rng::with_seed(7);
    let (mut past, mut now) = (Vec::new(), 0);
    for _ in 0..1_000 {
        now += random.u64(0..300_000);
        let expected = naive.fits(&past, now);
        let decision = engine.decide("key", "model", Route::Chat, now);
        assert_eq!(decision == Decision::Accept, expected, "{now} µs");
        if expected {
            past.push(now);
        }
    }
}
