//! The server's counts, and its end.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{Caller, HOUR, PATIENCE, chat, quick, until};
use serde_json::{Value, json};
use together_standin::{Answer, Limit, Route, Rules, StandIn};
use tokio::time::{Instant, timeout};

const PATH: &str = "/v1/chat/completions";

/// The body of a stream that has begun.
async fn open(caller: &Caller) -> Body {
    let mut body = chat();
    body["stream"] = true.into();
    let opened = caller.chat_with(body.to_string()).await;
    opened.unwrap().into_body()
}

#[tokio::test]
async fn stats_tell_who_came_and_what_became_of_them() {
    let rules = Rules::none().limit(Route::Chat, Limit::fixed(2, HOUR));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    assert_eq!(
        caller.get("/standin/stats").await.json()["first_arrival_s"],
        Value::Null
    );
    for _ in 0..3 {
        caller.post(PATH, &chat()).await;
    }
    caller.post(PATH, &json!({})).await;
    server.script("GET", "/batches", Answer::status(200));
    server.script("GET", "/batches", Answer::status(429));
    caller.get("/v1/batches").await;
    caller.get("/v1/batches").await;

    let stats = server.stats();
    let sum = (stats.arrived, stats.accepted, stats.refused, stats.errors);
    assert_eq!(sum, (6, 3, 2, 1));
    let chats = stats.routes[&Route::Chat];
    let sum = (chats.arrived, chats.accepted, chats.refused, chats.errors);
    assert_eq!(sum, (4, 2, 1, 1));
    let batches = stats.others["GET /batches"];
    assert_eq!(
        (batches.arrived, batches.accepted, batches.refused),
        (2, 1, 1)
    );
    assert_eq!(stats.routes[&Route::Other], batches);

    let arrivals = server.arrivals();
    let accepted: Vec<_> = arrivals.iter().map(|arrival| arrival.accepted).collect();
    assert_eq!(accepted, [true, true, false, false, true, false]);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    assert_eq!(stats.first_arrival, Some(arrivals[0].at));
    assert_eq!(stats.last_arrival, Some(arrivals[5].at));
    assert_eq!(arrivals[5].route, Route::Other);

    let over_http = caller.get("/standin/stats").await.json();
    assert_eq!(over_http["arrived"], 6);
    assert_eq!(over_http["errors"], 1);
    let chats = json!({"arrived": 4, "accepted": 2, "refused": 1, "errors": 1});
    assert_eq!(over_http["routes"]["chat"], chats);
    assert_eq!(over_http["others"]["GET /batches"]["arrived"], 2);
    for (name, arrival) in [
        ("first_arrival_s", arrivals[0]),
        ("last_arrival_s", arrivals[5]),
    ] {
        let difference = over_http[name].as_f64().unwrap() - arrival.at.as_secs_f64();
        assert!(difference.abs() < 1e-6, "{name}: {difference}");
    }
    let list = caller.get("/standin/arrivals").await.json();
    assert_eq!(list.as_array().unwrap().len(), 6);
    let micros = arrivals[0].at.as_micros() as u64;
    assert_eq!(
        list[0],
        json!({"at": micros, "route": "chat", "accepted": true})
    );
}

#[tokio::test]
async fn a_reset_zeroes_the_counts_and_forgives_nothing() {
    let rules = Rules::none().limit(Route::Chat, Limit::fixed(1, HOUR));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    assert_eq!(caller.post(PATH, &chat()).await.status, 200);
    let got = caller.post("/standin/reset", &json!({})).await;
    assert_eq!(got.status, 204);
    assert_eq!(server.stats(), together_standin::Stats::default());
    assert!(server.arrivals().is_empty());
    assert_eq!(caller.post(PATH, &chat()).await.status, 429);
    server.reset();
    assert_eq!(server.stats().arrived, 0);
}

#[tokio::test]
async fn a_stream_is_open_until_it_is_done_or_given_up() {
    let server = quick().chunk_delay(HOUR).start().await.unwrap();
    let caller = Caller::new(&server);
    let [first, second] = [open(&caller).await, open(&caller).await];
    assert_eq!(server.open_streams(), 2);
    drop(first);
    until("one stream is open", || server.open_streams() == 1).await;
    drop(second);
    until("no stream is open", || server.open_streams() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_its_time_and_is_done_at_its_end() {
    let delay = Duration::from_millis(20);
    let server = quick().chunk_delay(delay).start().await.unwrap();
    let since = Instant::now();
    let stream = open(&Caller::new(&server)).await;
    assert_eq!(server.open_streams(), 1);
    axum::body::to_bytes(stream, usize::MAX).await.unwrap();
    // Six words and [DONE], so six pauses.
    assert_eq!(since.elapsed(), 6 * delay);
    assert_eq!(server.open_streams(), 0);
}

#[tokio::test]
async fn connections_are_counted_open_and_in_all() {
    let server = quick().chunk_delay(HOUR).start().await.unwrap();
    assert_eq!(
        (server.connections(), server.accepted_connections()),
        (0, 0)
    );
    let (one, two) = (Caller::new(&server), Caller::http2(&server));
    // HTTP/1 needs a connection for each request under way, HTTP/2 one for all of them.
    let ones = [open(&one).await, open(&one).await];
    assert_eq!(
        (server.connections(), server.accepted_connections()),
        (2, 2)
    );
    let twos = [open(&two).await, open(&two).await];
    assert_eq!(
        (server.connections(), server.accepted_connections()),
        (3, 3)
    );
    let stats = two.get("/standin/stats").await.json();
    assert_eq!(
        (&stats["connections"], &stats["accepted_connections"]),
        (&3.into(), &3.into())
    );
    drop((one, ones));
    until("its two are closed", || server.connections() == 1).await;
    server.reset();
    assert_eq!(server.accepted_connections(), 3);
    drop((two, twos));
    until("all are closed", || server.connections() == 0).await;
}

#[tokio::test]
async fn a_dropped_server_ends_its_connections() {
    let server = quick().chunk_delay(HOUR).start().await.unwrap();
    let caller = Caller::new(&server);
    let stream = open(&caller).await;
    drop(server);
    let rest = axum::body::to_bytes(stream, usize::MAX);
    let rest = timeout(PATIENCE, rest).await.expect("the stream ends");
    assert!(rest.is_err(), "it breaks off");
    assert!(caller.chat().await.is_err());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for listen in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:80",
        "127.0.0.1",
        "example.com:80",
    ] {
        let rejected = StandIn::builder().listen(listen).start().await;
        let message = rejected.unwrap_err().to_string();
        assert!(
            message.contains(listen) && message.contains("127.0.0.1:PORT"),
            "{message}"
        );
    }
}
