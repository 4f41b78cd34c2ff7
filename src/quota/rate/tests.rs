use super::{
    cut::{BELOW, SHARED_CUT, TOKENS_TRIMMED, TRIMMED},
    *,
};
use crate::quota::{at, settled};

/// A rate that leads, at `per_second`, with a `ceiling`.
fn learned(of: Unit, per_second: f64, ceiling: f64) -> Rate {
    let mut rate = Rate::new(of, per_second, ceiling, at(0));
    rate.leads = true;
    rate
}

/// A rate trimmed to `part` of the 10 a second that the server names.
fn named(of: Unit, part: f64) -> Rate {
    let mut rate = Rate::new(of, 10.0, f64::INFINITY, at(0));
    rate.trim = part;
    rate.named(10.0 / SPREAD, at(0), at(0));
    rate
}

#[track_caller]
fn about(is: f64, expected: f64) {
    assert!((is / expected - 1.0).abs() < 1e-3, "{is} for {expected}");
}

/// Sends `per_second` requests a second, evenly, whatever the pace is.
fn send_at(rate: &mut Rate, per_second: u64, from: Instant, seconds: u64) -> Instant {
    let step = Span::SECOND / per_second;
    for nth in 0..seconds * per_second {
        if rate.depart(Weight(1), false, from + step * nth, from + step * nth) {
            rate.responded();
        }
    }
    from + Span::secs(seconds)
}

/// Sends as fast as the pace allows for `seconds`, with nothing else that limits it.
fn send(rate: &mut Rate, from: Instant, seconds: u64) -> Instant {
    let mut now = from;
    while now < from + Span::secs(seconds) {
        if rate.depart(Weight(1), true, now, now) {
            rate.responded();
        }
        now = now + Span::nanos((SECOND / rate.per_second()) as u64);
    }
    now
}

#[test]
fn the_table_is_believed_for_a_minute_of_work_and_then_there_may_be_more() {
    let mut rate = Rate::new(Unit::Requests, 10.0, f64::INFINITY, at(0));
    let now = send(&mut rate, at(0), 59);
    assert!(!rate.leads() && rate.next(0) == at(0));
    send(&mut rate, now, 10);
    assert!(rate.leads() && rate.per_second() > 10.0);
    // The rate is not raised without demand, nor above the number that the user wrote.
    let mut idle = Rate::new(Unit::Requests, 10.0, f64::INFINITY, at(0));
    for second in 0..600 {
        idle.depart(Weight(1), false, at(second), at(second));
    }
    assert!(!idle.leads());
    let mut written = Rate::new(Unit::Requests, 10.0, 10.0, at(0));
    send(&mut written, at(0), 600);
    assert!(!written.leads() && written.per_second() <= 10.0);
}

#[test]
fn a_rejection_cuts_once_and_never_by_more_than_half() {
    let mut rate = Rate::new(Unit::Requests, 10.0, 10.0, at(0));
    let now = send(&mut rate, at(0), 30);
    rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
    let cut = rate.per_second();
    assert!((5.0..=9.5).contains(&cut), "{cut}");
    // Rejections of requests that were in flight at the same time change nothing.
    rate.rejected(now, Weight(1), Span::SECOND, News::Nothing, now);
    assert_eq!(rate.per_second(), cut);
    rate.rejected(now, Weight(1), Span::secs(3_600), News::TooFast, now);
    assert!(rate.per_second() >= cut / 2.0);
    assert_eq!(rate.next(2) - rate.next(1), rate.interval().unwrap());
}

#[test]
fn a_step_too_many_goes_back_to_what_went_well() {
    let mut rate = Rate::new(Unit::Requests, 10.0, f64::INFINITY, at(0));
    let now = send(&mut rate, at(0), 62);
    assert!(rate.per_second() > 10.0);
    rate.rejected(now, Weight(1), Span::millis(100), News::TooFast, now);
    assert!((9.0..=10.0).contains(&rate.per_second()), "{rate:?}");
}

#[test]
fn what_the_server_names_counts_and_the_newest_of_it() {
    let mut rate = Rate::new(Unit::Requests, 10.0, 20.0, at(0));
    rate.named(4.0, at(10), at(20));
    assert!(rate.leads());
    assert!((3.9..4.0).contains(&rate.per_second()));
    // A response to an earlier request is ignored.
    rate.named(9.0, at(5), at(30));
    assert!(rate.per_second() < 4.0);
    rate.named(100.0, at(40), at(50));
    // It is approached, twice as fast each second.
    assert!(rate.per_second() < 8.0);
    rate.named(100.0, at(40), at(51));
    rate.named(100.0, at(40), at(52));
    assert_eq!(rate.per_second(), 20.0);
    for absurd in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        rate.named(absurd, at(60), at(70));
        assert_eq!(rate.per_second(), 20.0);
    }
    // The later response counts if two requests departed at the same instant.
    rate.named(4.0, at(40), at(70));
    assert!(rate.per_second() < 4.0);
}

#[test]
fn a_limit_far_above_what_the_user_allows_does_not_undo_a_cut() {
    let mut rate = Rate::new(Unit::Requests, 10.0, 10.0, at(0));
    rate.named(100.0, at(0), at(0));
    let now = send(&mut rate, at(0), 10);
    rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
    let cut = rate.per_second();
    assert!(cut < 10.0, "{rate:?}");
    rate.named(100.0, now, now);
    assert!((rate.per_second() / cut - 1.0).abs() <= SAME, "{rate:?}");
}

#[test]
fn who_has_much_less_than_the_limit_shares_it_and_gives_a_part_up() {
    let mut rate = Rate::new(Unit::Requests, 10.0, 10.0, at(0));
    let mut now = at(0);
    for _ in 0..4 {
        now = send(&mut rate, now, 20);
        rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
        rate.set(3.0, now);
    }
    now = send(&mut rate, now, 9);
    rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
    assert!(rate.per_second() <= 3.0 * SHARED_CUT, "{rate:?}");
    // A number that this crate supplied is only a guess. A lane with less than that is taken to be alone.
    let mut guessed = Rate::new(Unit::Requests, 10.0, f64::INFINITY, at(0));
    guessed.leads = true;
    guessed.set(3.0, at(0));
    now = send(&mut guessed, at(0), 9);
    guessed.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
    assert!(guessed.per_second() > 3.0 * 0.9, "{guessed:?}");
}

#[test]
fn a_server_that_counts_by_the_minute_is_not_taken_for_one_that_forgets() {
    let mut rate = Rate::new(Unit::Requests, 5.0, f64::INFINITY, at(0));
    let mut now = send(&mut rate, at(0), 59);
    rate.leads = true;
    rate.set(20.0, now);
    now = send(&mut rate, now, 15);
    for _ in 0..3 {
        rate.rejected(now, Weight(1), Span::secs(4), News::TooFast, now);
        now = now + Span::secs(4);
    }
    // The cut follows the last minute. The last seconds took much more.
    let minute = rate.sent.mean(60, now);
    assert!(
        rate.per_second() <= minute && rate.per_second() >= minute * 0.8,
        "{minute} {rate:?}"
    );
}

#[test]
fn what_is_owed_is_paid_at_the_new_rate_and_nothing_overflows() {
    let mut rate = Rate::new(Unit::Requests, 1.0, f64::INFINITY, at(0));
    rate.named(1.0, at(0), at(0));
    rate.depart(Weight(1), true, at(1), at(1));
    rate.named(2.0, at(1), at(1));
    let wait = rate.next(0) - at(1);
    assert!(
        (Span::SECOND * 9 / 20..Span::SECOND * 11 / 20).contains(&wait),
        "{wait:?}"
    );
    let never = Instant::NEVER;
    rate.depart(Weight(1), true, at(0), never);
    rate.rejected(at(0), Weight(1), Span::secs(u64::MAX), News::TooFast, never);
    rate.named(1.0, never, never);
    assert!(rate.next(u64::MAX) > at(0));
    assert_eq!(rate.fresh_at(), never);
}

#[test]
fn what_was_learned_is_forgotten_after_an_hour_without_a_reason_for_it() {
    let mut rate = named(Unit::Requests, 1.0);
    let hour = at(0) + REMEMBERED;
    rate.depart(Weight(1), false, hour, hour);
    assert!(rate.leads());
    let later = hour + Span::nanos(1);
    rate.depart(Weight(1), false, later, later);
    assert!(!rate.leads());
}

#[test]
fn a_request_delays_the_next_by_its_weight_and_the_mean_weight_is_known() {
    let mut rate = learned(Unit::Tokens, 10.0, f64::INFINITY);
    rate.depart(Weight(100), false, at(1), at(1));
    assert_eq!(rate.next(0), at(11));
    rate.depart(Weight(300), false, at(1), at(1));
    rate.depart(Weight(800), false, at(1), at(1));
    assert_eq!(rate.standing(at(1)).one, 400.0);
}

#[test]
fn the_next_is_delayed_by_what_a_response_says_its_request_weighed() {
    for (estimate, weight) in [(10, 100), (100, 40)] {
        let mut rate = learned(Unit::Tokens, 10.0, f64::INFINITY);
        rate.depart(Weight(1), false, at(0), at(0));
        let now = at(60);
        rate.depart(Weight(estimate), false, now, now);
        rate.settle(now, settled(estimate, weight), now);
        assert_eq!(rate.next(0), now + Span::SECOND / 10 * weight);
    }
}

#[test]
fn a_refund_leaves_no_more_than_the_rate_in_the_last_minute() {
    let mut rate = learned(Unit::Tokens, 10.0, f64::INFINITY);
    rate.depart(Weight(600), false, at(0), at(0));
    rate.set(5.0, at(30));
    assert_eq!(rate.next(0), at(90));
    // The limit is 300 a minute. 450 leave no room, 210 leave room for 90, and 200 for all 10.
    for (from, to, due) in [(600, 450, 90), (450, 210, 72), (210, 200, 70)] {
        rate.settle(at(0), settled(from, to), at(60));
        about(
            (rate.next(0) - at(0)).as_nanos() as f64,
            due as f64 * SECOND,
        );
    }
}

#[test]
fn what_comes_back_within_seconds_may_be_sent_at_once() {
    for (after, refund) in [(10, 6), (11, 0)] {
        let mut rate = learned(Unit::Tokens, 10.0, f64::INFINITY);
        rate.depart(Weight(500), true, at(0), at(0));
        let owed = rate.next(0);
        rate.settle(at(0), settled(500, 440), at(after));
        assert_eq!(owed - rate.next(0), Span::secs(refund));
    }
}

#[test]
fn a_server_that_asks_for_more_than_3_s_or_rejects_after_a_pause_counts_by_the_minute() {
    for (wait, news, by_minute) in [
        (3, News::TooFast, false),
        (4, News::TooFast, true),
        (3, News::TooSoon, true),
        (3, News::Nothing, false),
    ] {
        let mut rate = learned(Unit::Requests, 10.0, f64::INFINITY);
        rate.rejected(at(1), Weight(1), Span::secs(wait), news, at(1));
        let is = rate.probe.is_by_minute(at(1));
        assert_eq!(is, by_minute, "{wait} s {news:?}");
    }
}

#[test]
fn a_server_that_took_over_twice_as_much_in_the_last_20_s_counts_by_the_minute() {
    for (before, by_minute) in [(25, true), (15, false)] {
        let mut rate = learned(Unit::Requests, 10.0, f64::INFINITY);
        let now = send_at(&mut rate, before, at(0), 20);
        rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
        about(rate.per_second(), 9.5);
        assert_eq!(rate.probe.is_by_minute(now), by_minute, "{before}");
    }
}

#[test]
fn a_named_limit_of_requests_is_trimmed_once_in_5_s_and_then_cut_to_what_the_server_took() {
    let mut rate = named(Unit::Requests, 1.0);
    let now = send(&mut rate, at(0), 10);
    rate.rejected(now, Weight(1), Span::secs(3), News::TooFast, now);
    about(rate.per_second(), 10.0 * TRIMMED);
    let now = send_at(&mut rate, 6, now + Span::SECOND, 2);
    rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
    about(rate.per_second(), 6.0 * BELOW);
}

#[test]
fn a_named_limit_of_tokens_is_trimmed_at_each_rejection() {
    let mut rate = named(Unit::Tokens, 1.0);
    let now = send(&mut rate, at(0), 4);
    for times in 1..=2 {
        rate.rejected(now, Weight(1), Span::secs(3), News::TooFast, now);
        about(rate.per_second(), 10.0 * TOKENS_TRIMMED.powi(times));
    }
}

#[test]
fn the_less_of_a_limit_a_lane_has_the_more_of_it_a_rejection_takes() {
    for (of, part, after) in [
        (Unit::Requests, 0.5, 0.8),
        (Unit::Requests, 0.7, 0.93),
        (Unit::Requests, 0.9, 0.985),
        (Unit::Tokens, 0.5, 0.8),
        (Unit::Tokens, 0.7, 0.93),
        (Unit::Tokens, 0.9, 0.995),
    ] {
        let mut rate = named(of, part);
        let now = at(10);
        rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
        about(rate.per_second(), 10.0 * part * after);
        // The same limit, named again, does not undo the cut.
        rate.named(10.0 / SPREAD, now, now);
        about(rate.per_second(), 10.0 * part * after);
    }
}

#[test]
fn a_trimmed_limit_is_regained_every_10_s_though_each_response_names_it() {
    for (of, part, regained) in [
        (Unit::Requests, 0.4, 0.415),
        (Unit::Requests, 0.7, 0.72),
        (Unit::Requests, 0.95, 0.955),
        (Unit::Tokens, 0.4, 0.415),
        (Unit::Tokens, 0.7, 0.72),
        (Unit::Tokens, 0.95, 0.96),
        (Unit::Tokens, 0.995, 1.0),
    ] {
        let [mut busy, mut idle] = [(); 2].map(|()| named(of, part));
        for fifth in 0..=50 {
            let now = at(0) + Span::millis(200) * fifth;
            for (rate, delayed) in [(&mut busy, true), (&mut idle, false)] {
                rate.named(10.0 / SPREAD, now, now);
                if rate.depart(Weight(1), delayed, now, now) {
                    rate.responded();
                }
            }
        }
        about(busy.per_second(), 10.0 * regained);
        about(idle.per_second(), 10.0 * part);
    }
}

#[test]
fn what_to_expect_is_known_once_the_limit_is_named_or_enough_was_sent() {
    for (mut rate, seconds, known) in [
        (named(Unit::Requests, 1.0), 0, true),
        (learned(Unit::Requests, 10.0, 10.0), 10, true),
        (learned(Unit::Requests, 10.0, 10.0), 0, false),
    ] {
        let now = send_at(&mut rate, 10, at(0), seconds);
        assert_eq!(
            rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now),
            known,
            "{rate:?}"
        );
    }
}

#[test]
fn a_rejection_does_not_cut_tokens_that_the_user_wrote_while_most_of_them_are_taken() {
    use Unit::{Requests, Tokens};
    for (of, per_second, seconds, leads, cut) in [
        (Tokens, 9, 61, false, false),
        (Tokens, 7, 61, false, true),
        // The mean is known after a minute.
        (Tokens, 7, 30, false, false),
        (Tokens, 9, 61, true, true),
        (Requests, 9, 61, false, true),
    ] {
        let mut rate = Rate::new(of, 10.0, 10.0, at(0));
        rate.leads = leads;
        let now = send_at(&mut rate, per_second, at(0), seconds);
        rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
        assert_eq!(rate.per_second() < 10.0, cut, "{of:?} {per_second} {leads}");
    }
}

#[test]
fn a_lane_with_half_of_a_limit_adds_little_and_one_with_most_of_it_a_fifth() {
    for (has, next) in [(5.0, 5.15), (8.0, 9.6)] {
        let mut rate = learned(Unit::Requests, 10.0, 10.0);
        rate.set(has, at(0));
        send(&mut rate, at(0), 11);
        about(rate.per_second(), next);
    }
}

#[test]
fn a_new_limit_leaves_what_was_due_before_as_it_was() {
    let mut rate = named(Unit::Requests, 1.0);
    rate.depart(Weight(1), false, at(1), at(1));
    let due = rate.next(0);
    rate.named(20.0, at(1), at(3));
    assert_eq!(rate.next(0), due);
}

#[test]
fn only_what_was_charged_comes_back_be_it_forgotten_why_or_not() {
    let mut rate = Rate::new(Unit::Tokens, 10.0, f64::INFINITY, at(2));
    rate.depart(Weight(100), false, at(3), at(3));
    rate.forget(at(4));
    let due = rate.pace.due;
    rate.settle(at(1), settled(100, 0), at(5));
    assert_eq!(rate.pace.due, due);
    rate.settle(at(3), settled(100, 90), at(5));
    assert_eq!(rate.pace.due, due - Span::SECOND);
}

#[test]
fn a_limit_is_not_trusted_if_the_server_rejects_at_less_than_a_twentieth_of_it() {
    for (limit, trusted) in [(150.0, true), (600.0, false)] {
        let mut rate = Rate::new(Unit::Requests, 10.0, f64::INFINITY, at(0));
        let now = send_at(&mut rate, 10, at(0), 10);
        rate.named(limit, now, now);
        rate.rejected(now, Weight(1), Span::SECOND, News::TooFast, now);
        rate.named(limit, now, now + Span::SECOND);
        assert_eq!(rate.is_named(now), trusted, "{limit}");
        assert_eq!(rate.per_second() > 10.0, trusted, "{rate:?}");
        // A limit that may be in the right unit is trusted again.
        rate.named(12.0, now, now + Span::SECOND);
        assert!(rate.is_named(now));
    }
}
