//! Faults that are scripted: broken connections, refused streams, responses before their time and
//! responses that break off; over HTTP/1 and HTTP/2.

mod common;

use std::{
    io::{self, Read, Write},
    panic::catch_unwind,
    time::Duration,
};

use axum::{body::Bytes, http::Request};
use common::{Caller, PATIENCE, chat, connect, endless, gone, quick, read, reason, until};
use h2::Reason;
use together_standin::{Answer, Route, StandIn};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

const PATH: &str = "/chat/completions";
const SHORT: Duration = Duration::from_millis(50);

/// A server with a caller of each protocol.
async fn server() -> (StandIn, [Caller; 2]) {
    let server = quick().start().await.unwrap();
    let callers = [Caller::new(&server), Caller::http2(&server)];
    (server, callers)
}

#[tokio::test]
async fn a_fault_is_no_response_and_http2_tells_which() {
    for (fault, expected, leaves) in [
        (Answer::reset(), Reason::INTERNAL_ERROR, false),
        (Answer::refused_stream(), Reason::REFUSED_STREAM, false),
        (Answer::go_away(), Reason::REFUSED_STREAM, true),
    ] {
        for (http2, expected) in [(false, None), (true, Some(expected))] {
            let server = quick().start().await.unwrap();
            let caller = if http2 {
                Caller::http2(&server)
            } else {
                Caller::new(&server)
            };
            server.script("POST", PATH, fault.clone().times(2));
            for _ in 0..2 {
                let error = caller.chat().await.unwrap_err();
                assert!(!error.is_connect(), "{error:?}");
                assert_eq!(reason(&error), expected, "{fault:?}");
                if leaves {
                    gone(&server, &caller).await;
                }
            }
            assert_eq!(caller.chat().await.unwrap().status(), 200);
            let chats = server.stats().routes[&Route::Chat];
            assert_eq!((chats.arrived, chats.accepted, chats.errors), (3, 1, 2));
            let arrivals = server.arrivals().into_iter();
            assert!(arrivals.map(|one| one.accepted).eq([false, false, true]));
        }
    }
}

#[tokio::test]
async fn a_reset_stream_leaves_its_connection_alone() {
    let (server, [_, caller]) = server().await;
    for fault in [Answer::reset(), Answer::refused_stream()] {
        server.script("POST", PATH, fault);
        assert!(caller.chat().await.is_err());
        assert_eq!(caller.chat().await.unwrap().status(), 200);
    }
    assert_eq!(server.accepted_connections(), 1);
}

#[tokio::test]
async fn who_goes_away_finishes_what_is_under_way() {
    let (server, _) = server().await;
    server.script("POST", "/under-way", Answer::status(200));
    server.script("POST", "/leave", Answer::go_away());
    let url = server.url();
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await;
    let handshake = h2::client::handshake(stream.unwrap()).await;
    let (mut sender, connection) = handshake.unwrap();
    let connection = tokio::spawn(connection);
    let mut send = |path, ends| {
        let request = Request::post(format!("{url}{path}"));
        let sent = sender.send_request(request.body(()).unwrap(), ends);
        sent.unwrap()
    };
    let (under_way, mut body) = send("/under-way", false);
    let (leave, _) = send("/leave", true);

    let error = leave.await.unwrap_err();
    assert!(error.is_reset() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    let error = loop {
        match sender.ready().await {
            Ok(ready) => sender = ready,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::NO_ERROR));
    body.send_data(Bytes::from_static(b"the end"), true)
        .unwrap();
    assert_eq!(under_way.await.unwrap().status(), 200);
    connection.await.unwrap().expect("the connection ends well");
    until("it has left", || server.connections() == 0).await;
}

#[tokio::test]
async fn a_body_is_read_first_unless_the_response_is_early() {
    let (server, callers) = server().await;
    for caller in &callers {
        for (response, responded) in [(Answer::status(503), true), (Answer::reset(), false)] {
            server.script("POST", PATH, response.clone());
            let asked = timeout(SHORT, caller.chat_with(endless())).await;
            assert!(asked.is_err(), "it waits for the rest");
            // A request that did not arrive has used no quota.
            assert_eq!(caller.chat().await.is_ok(), responded);

            server.script("POST", PATH, response.early());
            let asked = timeout(PATIENCE, caller.chat_with(endless())).await;
            let asked = asked.expect("it does not wait for the rest");
            assert_eq!(asked.is_ok(), responded);
        }
    }
    assert_eq!(server.stats().arrived, 8);
}

#[tokio::test]
async fn an_early_response_is_counted_and_takes_its_time() {
    let (server, callers) = server().await;
    let early = Answer::status(429)
        .header("retry-after", 1)
        .body("slow down");
    let early = early.early().delay(SHORT).times(2);
    for (caller, connection) in callers.iter().zip([Some("close"), None]) {
        server.script("POST", PATH, early.clone());
        for _ in 0..2 {
            let since = Instant::now();
            let got = caller.chat_with(endless()).await.unwrap();
            assert!(since.elapsed() >= SHORT);
            assert_eq!(got.status(), 429);
            assert_eq!(got.headers()["retry-after"], "1");
            let left = got.headers().get("connection");
            assert_eq!(left.map(|value| value.to_str().unwrap()), connection);
            assert!(got.headers().contains_key("x-request-id"));
            assert_eq!(read(got.into_body()).await, (b"slow down".to_vec(), false));
        }
    }
    let stats = server.stats();
    assert_eq!((stats.arrived, stats.refused), (4, 4));
    assert_eq!(server.arrivals().len(), 4);
}

/// Without lingering, TCP resets a connection closed with something unread; the client finds it
/// broken while it sends, and some clients then do not look for the response.
#[tokio::test]
async fn an_early_response_reaches_a_client_that_goes_on_sending() {
    let (server, _) = server().await;
    server.script("POST", PATH, Answer::status(413).body("enough").early());
    let mut stream = connect(&server.url()).unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 10000\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&[b' '; 1_000])?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        for _ in 1..10 {
            // A connection that is reset shows at the next write but one.
            std::thread::sleep(SHORT / 10);
            stream.write_all(&[b' '; 1_000])?;
        }
        io::Result::Ok(response)
    });
    let response = client.await.unwrap().expect("the connection holds");
    assert!(
        response.starts_with("HTTP/1.1 413 ") && response.ends_with("enough"),
        "{response}"
    );
    until("it is closed", || server.connections() == 0).await;
}

#[tokio::test]
async fn a_body_left_unread_is_in_nobodys_way() {
    let (server, callers) = server().await;
    // More than fits the buffers of a socket, or the windows of an HTTP/2 connection.
    let body = vec![b' '; 8 << 20];
    for caller in &callers {
        server.script(
            "POST",
            PATH,
            Answer::status(413).body("enough").early().times(10),
        );
        for _ in 0..10 {
            let got = caller.chat_with(body.clone()).await.unwrap();
            assert_eq!(got.status(), 413);
            assert_eq!(read(got.into_body()).await, (b"enough".to_vec(), false));
        }
        assert_eq!(caller.chat().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_cut_response_breaks_off_in_the_middle() {
    let (server, callers) = server().await;
    for caller in &callers {
        for (body, half) in [("0123456789", "01234"), ("x", ""), ("", "")] {
            let response = Answer::status(201).header("x-cut", "yes").cut().body(body);
            server.script("POST", PATH, response.times(2));
            for _ in 0..2 {
                let got = caller.chat().await.unwrap();
                assert_eq!(got.status(), 201);
                assert_eq!(got.headers()["x-cut"], "yes");
                let got = read(got.into_body()).await;
                assert_eq!(got, (half.as_bytes().to_vec(), true), "{body:?}");
            }
        }
        let long = Answer::status(200).body(vec![b'x'; 100_000]).cut();
        server.script("POST", PATH, long);
        let (got, broke) = read(caller.chat().await.unwrap().into_body()).await;
        assert_eq!((got.len(), broke), (50_000, true));
    }
    assert_eq!(server.stats().accepted, 14, "it is counted by its status");
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_take_its_time() {
    let (server, callers) = server().await;
    for caller in &callers {
        for fault in [Answer::reset(), Answer::refused_stream(), Answer::go_away()] {
            server.script("POST", PATH, fault.delay(SHORT));
            let since = Instant::now();
            assert!(caller.chat().await.is_err());
            assert!(since.elapsed() >= SHORT);
        }
    }
}

#[test]
fn a_fault_has_nothing_to_say() {
    for wrong in [
        || Answer::reset().header("retry-after", 1),
        || Answer::refused_stream().body(chat().to_string()),
        || Answer::go_away().cut(),
    ] {
        assert!(catch_unwind(wrong).is_err());
    }
}
