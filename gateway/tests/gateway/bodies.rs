//! Requests' bodies and time limits: how much is kept, for how long, and what is given back.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, chat, embed, streamed},
};
use testing::{PATIENCE, until};

/// A request's body of this length.
fn long(length: usize) -> String {
    let mut body = embed("m");
    body.extend(std::iter::repeat_n(' ', length - body.len()));
    body
}

/// Opens a connection, and sends `body`, a part of a body of `length` bytes.
async fn send(gateway: &Gateway, head: &str, length: usize, body: &[u8]) -> TcpStream {
    let address = gateway.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {head}\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// Over HTTP/1, an end behind unread bytes is not noticed: these calls stayed in the queue, took a turn, and were sent.
#[tokio::test]
async fn with_however_large_a_body_who_hangs_up_leaves_the_queue() {
    let json = format!(r#"{{"model":"m","input":"{}"}}"#, "a ".repeat(1_500_000));
    let form = format!(
        "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{}\r\n--b--\r\n",
        "wave".repeat(1_000_000)
    );
    for (limit, path, kind, body) in [
        ("embeddings=1", "/v1/embeddings", "application/json", json),
        (
            "transcriptions=1",
            "/v1/audio/transcriptions",
            "multipart/form-data; boundary=b",
            form,
        ),
    ] {
        let api = Api::start().await;
        let flags = ["--limit", limit, "--max-wait", "600"];
        let gateway = Gateway::before(&api.url(), &flags).await;
        let mut first = gateway.post_to(path, body.clone());
        first
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        assert_eq!(Program::new("tom").send(first).await.status, StatusCode::OK);
        let head = format!("{path} HTTP/1.1\r\ncontent-type: {kind}");
        let sending = send(&gateway, &head, body.len(), body.as_bytes());
        let stream = timeout(PATIENCE, sending).await;
        let stream = stream.expect("all of it is taken in");
        until("it waits", || async {
            gateway.lanes().await.waiting() == 1
        })
        .await;
        drop(stream);
        until("it has left", || async { gateway.lanes().await.is_quiet() }).await;
        // Its turn would have come after a minute.
        assert_eq!(api.arrived().len(), 1, "{limit}");
    }
}

/// 500 stalled uploads took 750 MB.
#[tokio::test]
async fn bodies_together_take_so_much_memory_and_no_more() {
    let api = Api::start().await;
    let flags = ["--body-memory", "8", "--limit", "embeddings=60000"];
    let gateway = Gateway::before(&api.url(), &flags).await;
    let head = "/v1/embeddings HTTP/1.1\r\ncontent-type: application/json";
    let mut stalled = Vec::new();
    for _ in 0..9 {
        stalled.push(send(&gateway, head, 1_000_000, &[b' '; 900_000]).await);
    }
    until("they have come", || async {
        gateway.lanes().await["open"]["calls"] == 9
    })
    .await;
    // 8,388,608 less 8,100,000.
    let large = || gateway.post_to("/v1/embeddings", long(900_000));
    // A body that arrives while they are still being read may take the memory of one of them.
    let mut rejected = 0;
    while rejected < 10 {
        let response = Program::new("tom").send(large()).await;
        if response.status == StatusCode::SERVICE_UNAVAILABLE {
            rejected += 1;
        } else {
            rejected = 0;
            stalled.push(send(&gateway, head, 1_000_000, &[b' '; 900_000]).await);
        }
    }
    let before = api.arrived().len();
    let rejected = Program::new("tom").send(large()).await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.header("retry-after"), "1");
    assert_eq!(rejected.json()["error"]["code"], "gateway_full");
    assert_eq!(api.arrived().len(), before);
    let small = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(small.status, StatusCode::OK);
    // Connections that hang up give their memory back.
    drop(stalled);
    until("they have left", || async {
        gateway.lanes().await["open"]["calls"] == 0
    })
    .await;
    for _ in 0..20 {
        let response = Program::new("tom").send(large()).await;
        assert_eq!(response.status, StatusCode::OK);
    }
    // A body beyond an eighth of the memory waits on disk, and arrives.
    let longest = long(3_000_000);
    let response = Program::new("tom")
        .send(gateway.post_to("/v1/embeddings", longest.clone()))
        .await;
    assert_eq!(response.status, StatusCode::OK);
    let arrived = api.arrived().pop().unwrap();
    assert!(arrived.body == longest, "{} bytes", arrived.body.len());
}

/// Bodies too long for memory took their turn before they had arrived: nine bytes each of eight blocked all places.
#[tokio::test]
async fn a_long_body_holds_no_place_before_it_has_come() {
    // More than 128 KiB is long where memory is one MiB, and more than 32 MiB is long anywhere.
    let limits = ["--max-streams", "8", "--limit", "chat-completions=6000"];
    let short = [&limits[..], &["--body-memory", "1"]].concat();
    for (flags, length) in [(&short[..], 1_000_000), (&limits, 40_000_000)] {
        let api = Api::start().await;
        let gateway = Gateway::before(&api.url(), flags).await;
        let head = "/v1/chat/completions HTTP/1.1\r\ncontent-type: application/json";
        let mut slow = Vec::new();
        for _ in 0..8 {
            slow.push(send(&gateway, head, length, b"{\"model\":").await);
        }
        until("they have begun", async || {
            gateway.lanes().await["open"]["calls"] == 8
        })
        .await;
        let tom = Program::new("tom");
        // Callers are served in turn, so each long body has had a turn after as many calls of another caller.
        for _ in 0..20 {
            let response =
                timeout(Duration::from_secs(10), tom.send(gateway.post(chat("m")))).await;
            assert_eq!(response.expect("a place").status, StatusCode::OK);
        }
        assert_eq!(api.arrived().len(), 20);
        // A body on disk leaves the queue too when its program hangs up.
        drop(slow);
        until("they have left", async || gateway.lanes().await.is_quiet()).await;
    }
}

#[tokio::test]
async fn bodies_on_disk_are_bounded() {
    let api = Api::start().await;
    let flags = ["--body-memory", "1", "--body-disk", "3"];
    let gateway = Gateway::before(&api.url(), &flags).await;
    let post = |length| gateway.post_to("/v1/embeddings", long(length));
    let rejected = Program::new("tom").send(post(4_000_000)).await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.json()["error"]["code"], "gateway_full");
    // Its share of the disk is free again.
    for _ in 0..3 {
        let response = Program::new("tom").send(post(2_000_000)).await;
        assert_eq!(response.status, StatusCode::OK);
    }
    assert_eq!(api.arrived().len(), 3);
    assert_eq!(api.arrived()[0].body, long(2_000_000));
}

/// A silent API held every place for eleven minutes.
#[tokio::test]
async fn a_stream_that_never_begins_gives_its_place_back() {
    let api = Api::start().await;
    let flags = ["--max-streams", "1", "--first-byte", "0.5"];
    let gateway = Gateway::before(&api.url(), &flags).await;
    let tom = Program::new("tom");
    // Only the head arrives.
    let silent = crate::stream(&api);
    let mut response = tom.open(gateway.post(streamed("m"))).await;
    let error = crate::event(&mut response).await.unwrap();
    assert!(error.contains(r#""code":"upstream_silent""#), "{error}");
    assert_eq!(crate::event(&mut response).await, None);
    // The API sends nothing at all. The call is not retried, because it was paid for.
    api.holds();
    let response = tom.send(gateway.post(streamed("m"))).await;
    assert_eq!(response.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.json()["error"]["code"], "upstream_silent");
    assert_eq!(response.header("x-should-retry"), "false");
    assert_eq!(api.arrived().len(), 2);
    // A response that is no stream begins when it is complete.
    let request = gateway.post(chat("m"));
    let whole = tokio::spawn(async move { Program::new("tom").send(request).await });
    until("it has left", async || api.arrived().len() == 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    api.lets_go(2);
    assert_eq!(whole.await.unwrap().status, StatusCode::OK);
    drop(silent);
}

/// The call was sent up to five times, and the SDK then retried that.
#[tokio::test]
async fn a_response_that_takes_too_long_is_paid_for_once() {
    let api = Api::start().await;
    let flags = ["--limit", "chat-completions=60000"];
    let gateway = Gateway::before(&api.url(), &flags).await;
    api.holds();
    let names = ["x-stainless-timeout", "x-stainless-read-timeout"];
    let responses = join_all(names.map(|name| {
        let mut request = gateway.post(chat("m"));
        request.headers_mut().insert(name, 2.into());
        let program = Program::new("tom");
        timeout(PATIENCE, async move { program.send(request).await })
    }));
    for response in responses.await {
        let response = response.expect("a response");
        assert_eq!(response.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.header("x-should-retry"), "false");
        assert_eq!(response.json()["error"]["code"], "upstream_timeout");
    }
    until("nothing is left", || async {
        gateway.lanes().await.is_quiet()
    })
    .await;
    assert_eq!(api.arrived().len(), names.len());
}

/// A body that was read ahead can be retried, even if the layers alone would not keep it.
#[tokio::test]
async fn a_large_body_is_retried() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &[]).await;
    let failed = http::Response::builder().status(503);
    api.will_respond(failed.body("").unwrap());
    let body = long(5_000_000);
    let response = Program::new("tom")
        .send(gateway.post_to("/v1/embeddings", body.clone()))
        .await;
    assert_eq!(response.status, StatusCode::OK);
    let arrived = api.arrived();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|request| request.body == body));
}

/// Both ends of a connection on which the program does nothing.
#[tokio::test]
#[ignore = "long: ./check --all runs it"]
async fn who_connects_and_says_nothing_is_shown_out() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &[]).await;
    let address = gateway.url().trim_start_matches("http://");
    let mut idle = TcpStream::connect(address).await.unwrap();
    let ask = b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let mut read = [0; 4_096];
    idle.write_all(ask).await.unwrap();
    assert!(idle.read(&mut read).await.unwrap() > 0);
    let mut endings = tokio::task::JoinSet::new();
    // The last two begin as HTTP/2 does, whose version is not known yet.
    for said in ["", "GET / HTTP/1.1\r\nhost: ", "P", "PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        endings.spawn(async move {
            let ended = timeout(SHOWN_OUT, stream.read(&mut [0; 64])).await;
            assert!(ended.is_ok(), "still open: {said:?}");
        });
    }
    while let Some(ended) = endings.join_next().await {
        ended.unwrap();
    }
    // After a request, a connection may be idle as long as clients keep one.
    idle.write_all(ask).await.unwrap();
    assert!(idle.read(&mut read).await.unwrap() > 0);
}

/// More than the 15 s for a connection's first head, and less than the 100 s for the next one.
const SHOWN_OUT: Duration = Duration::from_secs(90);
