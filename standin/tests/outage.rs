//! A server that is gone for a while, and comes back.

mod common;

use std::{
    io::ErrorKind,
    net::TcpListener,
    time::{Duration, Instant},
};

use common::{Caller, HOUR, PATIENCE, chat, connect, quick, read, until};
use together_standin::{Answer, Rules, StandIn};
use tokio::{
    net::TcpSocket,
    time::{sleep, timeout},
};

const OUTAGE: Duration = Duration::from_millis(100);

/// Waits until the server listens, and says when that was.
async fn back(server: &StandIn) -> Instant {
    let url = server.url();
    until("it is back", || connect(&url).is_ok()).await;
    Instant::now()
}

fn assert_refused(url: &str) {
    let error = connect(url).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_outage_breaks_all_there_is_and_ends() {
    let server = quick().chunk_delay(HOUR).start().await.unwrap();
    server.script("GET", "/slow", Answer::status(200).delay(HOUR).times(2));
    let url = server.url();
    let callers = [Caller::new(&server), Caller::http2(&server)];
    let mut stream = chat();
    stream["stream"] = true.into();
    let mut streams = Vec::new();
    let mut slow = Vec::new();
    for caller in callers.clone() {
        let opened = caller.chat_with(stream.to_string()).await;
        streams.push(opened.unwrap().into_body());
        let request = async move { caller.open("GET", "/slow", None, "").await.is_err() };
        slow.push(tokio::spawn(request));
    }
    until("all have arrived", || server.stats().arrived == 4).await;
    assert!(server.connections() >= 3);

    // This returns before the hour is over.
    server.outage(HOUR);
    assert_refused(&url);
    for stream in streams {
        let (_, broke) = timeout(PATIENCE, read(stream)).await.expect("it ends");
        assert!(broke);
    }
    for slow in slow {
        let broke = timeout(PATIENCE, slow).await.expect("it ends");
        assert!(broke.unwrap());
    }
    until("nothing is left", || {
        server.connections() == 0 && server.open_streams() == 0
    })
    .await;

    let since = Instant::now();
    server.outage(OUTAGE);
    assert!(back(&server).await - since >= OUTAGE);
    assert_eq!(server.url(), url);
    for caller in &callers {
        assert_eq!(caller.chat().await.unwrap().status(), 200);
    }
    assert_eq!(server.stats().arrived, 6, "it remembers");
}

#[tokio::test]
async fn an_outage_can_be_renewed_from_any_thread() {
    let server = quick().rules(Rules::none()).start().await.unwrap();
    let caller = Caller::new(&server);
    std::thread::scope(|scope| {
        scope.spawn(|| server.outage(HOUR));
    });
    let error = caller.chat().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    let since = Instant::now();
    server.outage(OUTAGE);
    assert!(back(&server).await - since >= OUTAGE);
    for _ in 0..20 {
        server.outage(Duration::ZERO);
        back(&server).await;
        assert_eq!(Caller::new(&server).chat().await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_dropped_during_its_outage_does_not_come_back() {
    let server = quick().start().await.unwrap();
    let url = server.url();
    server.outage(OUTAGE);
    drop(server);
    sleep(2 * OUTAGE).await;
    assert_refused(&url);
    TcpListener::bind(url.trim_start_matches("http://")).expect("the port is free");
}

#[tokio::test]
async fn nobody_gets_the_port_meanwhile() {
    let server = quick().start().await.unwrap();
    let address = server.url().trim_start_matches("http://").parse().unwrap();
    // As systems look for a port that is free.
    let bind = || TcpSocket::new_v4().unwrap().bind(address);
    server.outage(HOUR);
    assert_eq!(bind().unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(server);
    bind().expect("it is free now");
}
