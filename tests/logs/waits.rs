//! The span of a request that waits, and what each line says of its request.

use std::time::Duration;

use futures::future::join_all;
use testing::{
    exact,
    script::{Reply, Script, status},
};
use tokio::time::timeout;
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherLayer, TogetherRateLimitLayer,
    extension::{Deadline, Retries},
};

use crate::{CHAT, FINE_TUNES, log::Log, post, send, with};

fn one_a_second() -> TogetherRateLimitLayer {
    let quota = Quota::new(1, Duration::from_secs(1)).unwrap();
    TogetherRateLimitLayer::new(Limits::none().requests(Endpoint::ChatCompletions, quota))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_in_a_span_until_it_departs() {
    let (log, _guard) = Log::heard();
    let (layer, script) = (one_a_second(), Script::new([]));
    send(&layer, script.client(), post(CHAT)).await;
    assert_eq!(log.of("span wait"), 0);
    send(&layer, script.client(), post(CHAT)).await;
    let spans = log.with("span wait");
    let [span] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(span.field("endpoint"), Some("chat-completions"));
    assert_eq!(span.field("model"), Some("m"));
    assert_eq!(span.field("attempt"), Some("1"));
    let waited: u128 = span.field("wait_ms").unwrap().parse().unwrap();
    assert_eq!(waited, script.millis()[1]);
    assert!(span.is_closed);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_or_rejected_ends_its_span() {
    let (log, _guard) = Log::heard();
    let layer = one_a_second();
    let client = || Script::new([]).client();
    send(&layer, client(), post(CHAT)).await;
    let dropped = timeout(
        Duration::from_millis(10),
        send(&layer, client(), post(CHAT)),
    );
    assert!(dropped.await.is_err());
    // The two in front leave too late for it, which is known when the limits are lowered.
    let waiting = send(
        &layer,
        client(),
        with(CHAT, Deadline::within(Duration::from_millis(1_500))),
    );
    let lowered = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let quota = Quota::per_minute(1).unwrap();
        let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
        layer.limiter().set_limits(limits);
    };
    tokio::join!(waiting, lowered);
    let spans = log.with("span wait");
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.is_closed), "{}", log.text());
    assert_eq!(spans[0].field("wait_ms"), None);
    assert_eq!(spans[1].field("wait_ms"), Some("500"));
    let rejected = &log.with("request rejected")[0];
    assert_eq!(rejected.field("wait_ms"), Some("500"));
    assert_eq!(rejected.field("reason"), Some("deadline"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_the_attempt_that_it_is() {
    let (log, _guard) = Log::heard();
    let layer = TogetherLayer::new(Limits::none()).with_retry(exact());
    let later = status(429).header("retry-after", 5);
    let script = Script::new([later.clone(), later]);
    send(&layer, script.client(), post(CHAT)).await;
    let spans = log.with("span wait");
    let attempts: Vec<_> = spans.iter().map(|span| span.field("attempt")).collect();
    assert_eq!(attempts, [Some("2"), Some("3")]);
    let retries = log.with("request retried");
    let attempts: Vec<_> = retries.iter().map(|line| line.field("attempt")).collect();
    assert_eq!(attempts, [Some("1"), Some("2")]);
    assert!(retries.iter().all(|line| line.field("model") == Some("m")));
}

/// The error of a request that is sent once was not reported.
#[tokio::test(start_paused = true)]
async fn each_clients_error_is_told_with_its_attempts() {
    let (log, _guard) = Log::heard();
    for (retries, attempts) in [(0, "1"), (2, "3")] {
        for by_layer in [false, true] {
            let mut layer = exact();
            let mut request = post(CHAT);
            if by_layer {
                layer = layer.with_max_retries(retries);
            } else {
                request = with(CHAT, Retries::at_most(retries));
            }
            let script = Script::new([const { Reply::Reset }; 3]);
            send(&layer, script.client(), request).await;
            let lines = log.with("request not retried");
            let line = lines.last().expect("an event");
            assert_eq!(line.field("attempt"), Some(attempts));
            assert_eq!(line.field("failure"), Some("interrupted"));
            assert_eq!(line.field("reason"), Some("max_retries"));
            assert_eq!(line.level, tracing::Level::WARN);
        }
    }
    assert_eq!(log.of("request not retried"), 4);
}

#[tokio::test(start_paused = true)]
async fn no_line_holds_a_key() {
    let (log, _guard) = Log::heard();
    let layer = TogetherLayer::from(Limiter::default()).with_retry(exact());
    let failures = [status(429), status(503), status(401), status(500)];
    for (failure, path) in failures.into_iter().zip([CHAT, CHAT, CHAT, FINE_TUNES]) {
        send(&layer, Script::new([failure]).client(), post(path)).await;
    }
    join_all([(); 3].map(|()| send(&layer, Script::new([]).client(), post(CHAT)))).await;
    let text = log.text();
    assert!(log.lines().len() > 6, "{text}");
    assert!(!text.contains("secret"), "{text}");
}
