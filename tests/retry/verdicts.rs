//! Responses and errors that are retried, and when.

use testing::script::{Reply, status};
use tower_together::TogetherRetryLayer;

use crate::{CHAT, FINE_TUNES, OVERLOADED, drawn, exact, post, send};

/// Whether a chat is retried, at which millisecond, and whether a fine-tune is retried too (`creates`).
#[tokio::test(start_paused = true)]
async fn every_status_of_the_table() {
    for (code, again, creates) in [
        (408, true, false),
        (500, true, false),
        (502, true, false),
        // The response does not state that nothing was done.
        (503, true, false),
        (504, true, false),
        (520, true, false),
        (521, true, false),
        (522, true, false),
        (523, true, false),
        (524, true, false),
        (525, true, false),
        (529, true, false),
        (530, true, false),
        (400, false, false),
        (401, false, false),
        (402, false, false),
        (403, false, false),
        (404, false, false),
        (409, false, false),
        (413, false, false),
        (422, false, false),
        (501, false, false),
        (505, false, false),
        (511, false, false),
        (526, false, false),
    ] {
        for (path, again) in [(CHAT, again), (FINE_TUNES, creates)] {
            fastrand::seed(1);
            let replies = vec![status(code); 9];
            let (instants, last) = send(&exact(), post(path), replies).await;
            // Full jitter: of 1, 2, 4 and 8 s.
            let expected = if again {
                drawn(1, &[1, 2, 4, 8])
            } else {
                vec![0]
            };
            assert_eq!(instants, expected, "{code} {path}");
            assert_eq!(last.unwrap(), code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_is_retried_when_the_server_said_and_never_before() {
    let date = |second: u8| format!("Sun, 06 Nov 1994 08:49:{second} GMT");
    for path in [CHAT, FINE_TUNES] {
        for (reply, wait) in [
            (status(429).header("retry-after", 7), 7_000),
            (status(429).header("retry-after", "0.25"), 250),
            (status(429).header("retry-after-ms", 40), 40),
            (status(429).header("x-ratelimit-reset", 43), 43_000),
            (
                status(429)
                    .header("date", date(37))
                    .header("retry-after", date(39)),
                2_000,
            ),
            // The wait is missing or invalid.
            (status(429), 5_000),
            (status(429).header("retry-after", -3), 5_000),
            (status(429).header("retry-after", "NaN"), 5_000),
            (
                status(429)
                    .header("date", date(37))
                    .header("retry-after", date(36)),
                5_000,
            ),
            // A proxy's page, after which async-openai 0.43 stops all retries.
            (
                status(429).header("retry-after", 1).body("<html></html>"),
                1_000,
            ),
        ] {
            let (instants, last) = send(&exact(), post(path), [reply.clone()]).await;
            assert_eq!(instants, [0, wait], "{reply:?}");
            assert_eq!(last.unwrap(), 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_comes_after_the_instant() {
    let layer = TogetherRetryLayer::default();
    for (reply, least) in [
        (status(429).header("retry-after", 7), 7_000),
        (status(429), 5_000),
    ] {
        let mut instants = Vec::new();
        for _ in 0..50 {
            let (sent, _) = send(&layer, post(CHAT), [reply.clone()]).await;
            instants.push(sent[1]);
        }
        assert!(
            instants
                .iter()
                .all(|at| (least..least + 2_001).contains(at))
        );
        instants.dedup();
        assert!(instants.len() > 45, "{instants:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn money_run_out_is_final() {
    for reply in [
        status(402).header("retry-after", 1),
        status(429)
            .header("retry-after", 1)
            .body(r#"{"error":{"message":"m","code":"insufficient_quota"}}"#),
    ] {
        let (instants, last) = send(&exact(), post(CHAT), [reply]).await;
        assert_eq!(instants, [0]);
        assert!([402, 429].contains(&last.unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_the_bound_is_not_waited_for() {
    for wait in ["121", "1e300", "9999999999999999999999"] {
        let reply = status(429).header("retry-after", wait);
        let (instants, last) = send(&exact(), post(CHAT), [reply]).await;
        assert_eq!(instants, [0]);
        assert_eq!(last.unwrap(), 429);
    }
    let reply = status(429).header("retry-after", 120);
    assert_eq!(send(&exact(), post(CHAT), [reply]).await.0, [0, 120_000]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_counts_only_on_retries() {
    // Together was observed to send it with 200; with a 503 it is a minimum wait too.
    let fine = status(200).header("retry-after", 30);
    assert_eq!(send(&exact(), post(CHAT), [fine]).await.0, [0]);
    let busy = status(503).header("retry-after", 3).body(OVERLOADED);
    assert_eq!(send(&exact(), post(FINE_TUNES), [busy]).await.0, [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_overrules_but_never_makes_two_of_one() {
    let should = |code, said| {
        status(code)
            .header("x-should-retry", said)
            .header("retry-after", 1)
    };
    for (path, reply, instants) in [
        (CHAT, should(400, "true"), &[0, 1_000][..]),
        (CHAT, should(409, "true"), &[0, 1_000]),
        (CHAT, should(503, "false"), &[0]),
        (CHAT, should(429, "false"), &[0]),
        (CHAT, should(400, "perhaps"), &[0]),
        (FINE_TUNES, should(500, "true"), &[0]),
        (FINE_TUNES, should(429, "true"), &[0, 1_000]),
    ] {
        let (sent, _) = send(&exact(), post(path), [reply.clone()]).await;
        assert_eq!(sent, instants, "{path} {reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_without_a_response() {
    for (path, reply, again) in [
        (CHAT, Reply::Refused, true),
        (CHAT, Reply::Reset, true),
        (FINE_TUNES, Reply::Refused, true),
        (FINE_TUNES, Reply::Reset, false),
    ] {
        fastrand::seed(2);
        let (instants, last) = send(&exact(), post(path), [reply.clone()]).await;
        let expected = if again { drawn(2, &[1]) } else { vec![0] };
        assert_eq!(instants, expected, "{path} {reply:?}");
        // The result is the client's own error if it is not retried.
        assert_eq!(last.is_err(), !again);
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_says_wait_now_or_never() {
    let grpc = |code| status(200).header("grpc-status", code);
    let pushed = |code, pushback: &str| grpc(code).header("grpc-retry-pushback-ms", pushback);
    for (reply, instants) in [
        (pushed(14, "1500"), &[0, 1_500][..]),
        (pushed(8, "1500"), &[0, 1_500]),
        (pushed(14, "0"), &[0, 0]),
        (pushed(14, "-1"), &[0]),
        (pushed(14, "soon"), &[0]),
        (grpc(8), &[0, 5_000]),
        (grpc(13), &[0]),
        (pushed(3, "1500"), &[0]),
        (grpc(0), &[0]),
    ] {
        let (sent, _) = send(
            &exact(),
            post("/together.Inference/Generate"),
            [reply.clone()],
        )
        .await;
        assert_eq!(sent, instants, "{reply:?}");
    }
    fastrand::seed(3);
    let (sent, _) = send(&exact(), post("/together.Inference/Generate"), [grpc(14)]).await;
    assert_eq!(sent, drawn(3, &[1]));
}
