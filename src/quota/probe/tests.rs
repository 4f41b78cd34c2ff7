use super::*;
use crate::quota::at;

const ALONE: Standing = Standing {
    rate: 10.0,
    table: 10.0,
    one: 1.0,
    shared: false,
    named: false,
};

fn of(rate: f64) -> Standing {
    Standing { rate, ..ALONE }
}

#[test]
fn a_step_goes_half_way_to_what_was_rejected_and_past_it_with_care() {
    let mut probe = Probe::new(10.0, at(0));
    assert!(probe.step(ALONE, at(10)) > 11.0);
    probe.fell(14.4, at(10));
    assert!((probe.step(of(10.0), at(20)) - 12.0).abs() < 1e-9);
    let past = probe.step(of(14.4), at(30)) / 14.4;
    assert!((1.04..1.2).contains(&past), "{past}");
}

#[test]
fn what_is_rejected_again_and_again_is_tried_ever_more_seldom() {
    let mut probe = Probe::new(10.0, at(0));
    let mut waits = Vec::new();
    for _ in 0..8 {
        probe.step(ALONE, at(0));
        probe.fell(10.5, at(0));
        waits.push(probe.step_after(ALONE, at(0)) / Span::SECOND);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 240, 240, 240]);
    // After a much higher rate went well, the earlier rejections no longer count.
    let steps: Vec<_> = (0..5).map(|_| probe.step(of(20.0), at(0)) / 20.0).collect();
    assert!(steps[0] < 1.1 && steps[4] > 1.4, "{steps:?}");
    probe.fell(40.0, at(0));
    assert_eq!(probe.step_after(of(39.0), at(0)), STEP_AFTER);
}

#[test]
fn who_was_much_faster_of_late_looks_up_sooner() {
    let mut probe = Probe::new(10.0, at(0));
    probe.went_well(10.0, at(1));
    for _ in 0..4 {
        probe.step(of(5.0), at(1));
        probe.fell(5.2, at(1));
    }
    assert_eq!(probe.step_after(of(5.0), at(1)), REGAIN);
    assert_eq!(probe.step_after(of(9.5), at(1)), STEP_AFTER * 8);
    // The wait is bounded.
    assert_eq!(probe.step_after(of(5.0), at(601)), STEP_AFTER * 8);
}

#[test]
fn the_wait_before_a_step_depends_on_what_is_known() {
    let new = Probe::new(10.0, at(0));
    let mut stepped = new.clone();
    stepped.step(ALONE, at(0));
    let mut by_minute = stepped.clone();
    by_minute.counts_by_minute(at(0));
    let mut failed = new.clone();
    for _ in 0..4 {
        failed.step(ALONE, at(0));
        failed.fell(12.0, at(0));
    }
    let named = Standing {
        named: true,
        ..ALONE
    };
    let shared = Standing {
        shared: true,
        ..ALONE
    };
    let heavy = Standing {
        one: 200.0,
        ..of(100.0)
    };
    let later = at(601);
    for (why, probe, standing, now, seconds) in [
        ("at first", &new, ALONE, 0, 10),
        ("doubled for each failure", &failed, ALONE, 0, 80),
        ("the server has named its limit", &failed, named, 0, 10),
        ("the limit is shared", &failed, shared, 0, 10),
        ("1.2 times as much was rejected", &failed, of(10.0), 0, 80),
        ("1.33 times as much was rejected", &failed, of(9.0), 0, 5),
        ("after a step", &stepped, ALONE, 0, 5),
        ("after a step, 10 requests", &stepped, of(1.0), 0, 10),
        ("after a step, 10 heavy requests", &stepped, heavy, 0, 20),
        ("after a step, 4 min at most", &stepped, of(0.001), 0, 240),
        (
            "a server that counts by the minute",
            &by_minute,
            ALONE,
            0,
            15,
        ),
        ("ten minutes after that", &by_minute, ALONE, 601, 5),
    ] {
        let after = probe.step_after(standing, at(now));
        assert_eq!(after, Span::secs(seconds), "{why}");
    }
    assert!(!stepped.is_by_minute(at(0)) && by_minute.is_by_minute(at(0)));
    assert!(!by_minute.is_by_minute(later));
}

#[test]
fn a_pace_is_too_low_if_it_delayed_four_of_five_requests() {
    for (delayed, of, was_delayed) in [(3, 5, false), (4, 5, true), (7, 10, false), (8, 10, true)] {
        let mut probe = Probe::new(10.0, at(0));
        for nth in 0..of {
            probe.depart(nth < delayed, at(1));
        }
        assert_eq!(probe.was_delayed(), was_delayed, "{delayed} of {of}");
    }
}

#[test]
fn the_best_minute_counts_until_nothing_like_it_was_seen_for_ten_minutes() {
    // After four failures a lane waits for 80 s, or for 15 s if it was much faster lately.
    let looks_up_soon = |minutes: &[(f64, u64)], rate, now| {
        let mut probe = Probe::new(10.0, at(0));
        for _ in 0..4 {
            probe.step(of(rate), at(0));
            probe.fell(rate, at(0));
        }
        for (minute, second) in minutes {
            probe.went_well(*minute, at(*second));
        }
        probe.step_after(of(rate), at(now)) == REGAIN
    };
    for (why, minutes, rate, now, soon) in [
        ("lower", &[(10.0, 0), (5.0, 60)], 5.0, 90, true),
        (
            "lower, forgotten",
            &[(10.0, 0), (5.0, 300)],
            5.0,
            800,
            false,
        ),
        ("about the same", &[(10.0, 0), (9.5, 300)], 5.0, 800, true),
        (
            "the best, not the last",
            &[(10.0, 0), (9.5, 300)],
            8.8,
            800,
            true,
        ),
        ("replaced", &[(10.0, 0), (5.0, 700)], 5.0, 800, false),
        ("replaced, faster", &[(10.0, 0), (5.0, 700)], 4.0, 800, true),
    ] {
        assert_eq!(looks_up_soon(minutes, rate, now), soon, "{why}");
    }
}

/// The rates after successive steps from `rate` on, all at one instant.
fn steps<const N: usize>(probe: &mut Probe, from: Standing, now: Instant) -> [f64; N] {
    let mut rate = from.rate;
    std::array::from_fn(|_| {
        rate = probe.step(Standing { rate, ..from }, now);
        rate
    })
}

/// The steps, in percent of the rate.
fn percent<const N: usize>(probe: &mut Probe, from: Standing, now: Instant) -> [f64; N] {
    let mut before = from.rate;
    steps(probe, from, now).map(|rate| {
        let step = rate / before - 1.0;
        before = rate;
        (step * 1_000.0).round() / 10.0
    })
}

#[test]
fn steps_are_careful_past_a_rejection_until_three_went_well() {
    let later = at(601);
    let rejected_at = |rate| {
        let mut probe = Probe::new(rate, at(0));
        probe.fell(rate, at(0));
        probe
    };
    for (rate, first) in [(1.0, 25.0), (3.0, 10.0), (10.0, 3.0), (100.0, 2.0)] {
        let steps = percent(&mut rejected_at(rate), of(rate), at(0));
        assert_eq!(steps, [first, 10.0, 35.0, 50.0], "{rate}");
    }
    let mut by_minute = rejected_at(10.0);
    by_minute.counts_by_minute(at(0));
    let steps = percent(&mut by_minute.clone(), ALONE, at(0));
    assert_eq!(steps, [5.0, 10.0, 30.0, 30.0]);
    let steps = percent(&mut by_minute, ALONE, later);
    assert_eq!(steps, [3.0, 10.0, 35.0, 50.0]);
}

#[test]
fn lanes_that_share_a_limit_add_the_same_and_twice_that_later() {
    for rate in [2.0, 40.0] {
        let shared = Standing {
            shared: true,
            ..of(rate)
        };
        let rates = steps(&mut Probe::new(rate, at(0)), shared, at(0));
        let added = rates.map(|after| ((after - rate) * 100.0).round());
        assert_eq!(added, [15.0, 30.0, 60.0], "{rate}");
    }
}

#[test]
fn a_lane_that_was_much_faster_goes_nearly_back_in_bounded_steps() {
    for (why, rate, rejected, expected) in [
        ("96 % of the best minute", 8.0, 20.0, [20.0]),
        ("35 % at most", 5.0, 20.0, [35.0]),
        ("half way to a rejection below that", 5.0, 7.2, [20.0]),
    ] {
        let mut probe = Probe::new(rate, at(0));
        probe.went_well(10.0, at(0));
        probe.fell(rejected, at(0));
        assert_eq!(percent(&mut probe, of(rate), at(0)), expected, "{why}");
    }
    let mut rejected_here = Probe::new(5.0, at(0));
    rejected_here.went_well(10.0, at(0));
    rejected_here.fell(5.0, at(0));
    // The first step is careful, the next one is bold.
    assert_eq!(percent(&mut rejected_here, of(5.0), at(0)), [6.0, 35.0]);
}

#[test]
fn a_step_too_many_goes_back_to_a_rate_that_went_well() {
    // Steps from each rate, at its second, on top of a proven rate of 10 a second.
    let stepped = |steps: &[(f64, u64)]| {
        let mut probe = Probe::new(10.0, at(0));
        for (rate, now) in steps {
            probe.step(of(*rate), at(*now));
        }
        probe
    };
    for (why, steps, rejected, back) in [
        ("before a single step", &[(14.0, 15)][..], 18.0, 14.0),
        ("less than a rate of some seconds", &[(14.0, 5)], 16.0, 13.3),
        (
            "close to what is known",
            &[(10.0, 5), (12.0, 9)],
            12.4,
            10.0,
        ),
        (
            "less than a short stage",
            &[(10.0, 5), (12.0, 9)],
            16.0,
            11.4,
        ),
        (
            "10 s are enough to know",
            &[(10.0, 5), (12.0, 15)],
            14.5,
            12.0,
        ),
    ] {
        let proven = stepped(steps).proven(rejected).unwrap();
        assert!((proven - back).abs() < 1e-9, "{why}: {proven}");
    }
    assert_eq!(Probe::new(10.0, at(0)).proven(10.0), None);
}

#[test]
fn a_failure_is_a_step_that_is_rejected_at_about_the_same_rate_again() {
    for (why, stepped, rejected, seconds) in [
        ("again", true, 10.5, 160),
        ("a little above", true, 12.0, 160),
        ("far above", true, 20.0, 10),
        ("below", true, 8.0, 80),
        ("without a step", false, 10.5, 80),
    ] {
        let mut probe = Probe::new(10.0, at(0));
        for _ in 0..4 {
            probe.step(ALONE, at(0));
            probe.fell(10.5, at(0));
        }
        assert_eq!(probe.step_after(ALONE, at(0)), Span::secs(80));
        if stepped {
            probe.step(ALONE, at(0));
        }
        probe.fell(rejected, at(0));
        let after = probe.step_after(of(rejected), at(0));
        assert_eq!(after, Span::secs(seconds), "{why}");
    }
}
