use super::*;
use crate::quota::at;

fn after(seconds: u64) -> Option<Span> {
    Some(Span::secs(seconds))
}

#[test]
fn one_rejection_pauses_and_stragglers_only_lengthen_it() {
    let mut gate = Gate::default();
    let early = Passage::default();
    assert_eq!(
        gate.rejected(early, after(3), Spares::Nothing, at(1)).until,
        at(4)
    );
    // The request was sent before the pause. Shorter and unknown waits change nothing, a longer one
    // counts.
    assert_eq!(
        gate.rejected(early, after(1), Spares::Nothing, at(2)).until,
        at(4)
    );
    assert_eq!(
        gate.rejected(early, None, Spares::Nothing, at(3)).until,
        at(4)
    );
    assert_eq!(
        gate.rejected(early, after(5), Spares::Nothing, at(3)).until,
        at(8)
    );
    assert_eq!(gate.started, at(1));
    assert_eq!(gate.next(), at(8));
    // An unknown wait does not start the slow restart again either, once the pause is over.
    assert_eq!(
        gate.rejected(early, None, Spares::Nothing, at(9)).until,
        at(8)
    );
}

#[test]
fn only_what_was_sent_after_the_newest_pause_started_is_news() {
    let mut gate = Gate::default();
    let before = [gate.pass(false, None, at(1)), gate.pass(false, None, at(1))];
    // All at one instant. The second pause starts a nanosecond after the first.
    let first = gate.rejected(before[0], after(0), Spares::Nothing, at(1));
    let between = gate.pass(false, None, at(1));
    let second = gate.rejected(between, after(0), Spares::Nothing, at(1));
    let last = gate.pass(false, None, at(1));
    assert_eq!([first.news, second.news], [News::TooFast, News::TooSoon]);
    assert_eq!([first.until, second.until], [at(1), at(1)]);
    for straggler in [before[1], between] {
        assert_eq!(
            gate.rejected(straggler, None, Spares::Nothing, at(1)).news,
            News::Nothing
        );
    }
    assert_eq!(
        gate.rejected(last, after(1), Spares::Nothing, at(1)).news,
        News::TooSoon
    );
    assert_eq!(gate.started, at(1) + Span::nanos(2));
}

#[test]
fn without_a_hint_the_pause_doubles_while_the_lane_stays_blocked() {
    let mut gate = Gate::default();
    let mut now = Instant::START;
    let mut passage = Passage::default();
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let until = gate.rejected(passage, None, Spares::Nothing, now).until;
        assert_eq!(until - now, Span::secs(seconds));
        now = until;
        passage = gate.pass(false, None, now);
    }
    // After three accepted requests the count of short pauses starts again.
    for _ in 0..3 {
        passage = gate.pass(false, None, now);
    }
    assert_eq!(
        gate.rejected(passage, None, Spares::Nothing, now).until - now,
        Span::SECOND
    );
}

#[test]
fn what_the_server_says_is_lengthened_while_it_proves_too_short() {
    let mut gate = Gate::default();
    let (mut now, mut passage) = (Instant::START, Passage::default());
    let named = Span::millis(100);
    for (pause, news) in [
        (named, News::TooFast),
        (named, News::TooSoon),
        (Span::secs(2), News::TooSoon),
        (Span::secs(4), News::TooSoon),
    ] {
        let rejection = gate.rejected(passage, Some(named), Spares::Nothing, now);
        assert_eq!((rejection.until - now, rejection.news), (pause, news));
        now = rejection.until;
        passage = gate.pass(false, None, now);
    }
    // A longer wait counts as it is.
    assert_eq!(
        gate.rejected(passage, after(60), Spares::Nothing, now)
            .until
            - now,
        Span::secs(60)
    );
}

#[test]
fn where_several_pauses_were_too_short_it_is_the_rate() {
    let mut gate = Gate::default();
    gate.rejected(Passage::default(), after(1), Spares::Nothing, at(0));
    let mut news = Vec::new();
    for _ in 0..3 {
        gate.pass(false, None, gate.until());
        let second = gate.pass(false, None, gate.until());
        news.push(
            gate.rejected(second, after(1), Spares::Nothing, gate.until())
                .news,
        );
    }
    assert_eq!(news, [News::TooSoon, News::TooSoon, News::TooFast]);
}

#[test]
fn after_a_pause_they_depart_one_by_one_at_half_the_pace_and_then_at_their_own() {
    let interval = Span::millis(100);
    let mut gate = Gate::default();
    gate.rejected(Passage::default(), after(1), Spares::Nothing, at(0));
    let mut now = gate.next();
    let mut departed = 0;
    gate.pass(false, Some(interval), now);
    assert_eq!(gate.next() - now, interval * 2);
    while now < at(9) {
        now = gate.next().max(now + interval);
        gate.pass(false, Some(interval), now);
        departed += 1;
    }
    // 80 would depart at full pace. A pace that grows from one half to the whole allows this many.
    assert!((54..=58).contains(&departed), "{departed}");
    // The slow restart is over, and the gate adds no delay.
    assert!(gate.next() <= now + interval);
}

#[test]
fn where_nothing_is_limited_a_pause_does_not_end_with_everybody_at_once() {
    let mut gate = Gate::default();
    gate.rejected(Passage::default(), after(1), Spares::Nothing, at(0));
    let mut now = gate.next();
    for _ in 0..10 {
        gate.pass(false, None, now);
        now = gate.next();
    }
    assert!(now >= at(2) - Span::millis(100));
    let apart = [0, 1, 2, 3, 8].map(|seconds| {
        let now = gate.until() + Span::secs(seconds);
        gate.pass(false, None, now);
        gate.next() - now
    });
    assert_eq!(
        apart,
        [100_000, 50_000, 25_000, 12_500, 0].map(|us| Span::nanos(us * 1_000))
    );
}

#[test]
fn a_quick_restart_adds_nothing_between_requests() {
    let mut gate = Gate::default();
    gate.rejected(Passage::default(), after(1), Spares::Nothing, at(0));
    gate.restart(Restart::Quick);
    for interval in [None, after(1)] {
        gate.pass(false, interval, gate.until());
        assert_eq!(gate.next(), at(1));
    }
}

#[test]
fn no_server_pauses_a_lane_for_more_than_an_hour() {
    let mut gate = Gate::default();
    let until = gate
        .rejected(Passage::default(), after(u64::MAX), Spares::Nothing, at(1))
        .until;
    assert_eq!(until, at(1) + LONGEST);
    gate.pause(Span::secs(u64::MAX), Instant::NEVER);
    assert_eq!(gate.fresh_at(), Instant::NEVER);
}

/// Sends so many first attempts, and returns the passage of the last.
fn send(gate: &mut Gate, many: u32) -> Passage {
    let passages = (0..many).map(|_| gate.pass(false, None, at(1)));
    passages.last().unwrap()
}

#[test]
fn a_rejection_that_is_alone_among_many_pauses_nothing() {
    let mut gate = Gate::after(100);
    let reject = |gate: &mut Gate, sent| gate.rejected(sent, after(1), Spares::Alone(8), at(1));
    let sent = send(&mut gate, 3);
    let first = reject(&mut gate, sent);
    assert_eq!(first.news, News::Alone(103));
    assert!(!first.news.pauses() && gate.next() == Instant::START);
    // One that was in flight at that moment is not alone.
    assert_eq!(reject(&mut gate, sent).news, News::TooFast);
    assert_eq!(gate.until(), at(2));
    for (many, news) in [(8, News::Alone(8)), (7, News::TooFast)] {
        let sent = send(&mut gate, many);
        assert_eq!(reject(&mut gate, sent).news, news);
    }
}

#[test]
fn a_retry_that_is_rejected_after_first_attempts_pauses_nothing() {
    for (before, news) in [(4, News::Retried), (3, News::TooFast)] {
        let mut gate = Gate::default();
        gate.rejected(Passage::default(), after(1), Spares::Nothing, at(1));
        send(&mut gate, before);
        // Other retries tell nothing.
        gate.pass(true, None, at(1));
        let retry = gate.pass(true, None, at(1));
        let rejection = gate.rejected(retry, after(1), Spares::Retry, at(1));
        assert_eq!(rejection.news, news, "{before}");
    }
}
