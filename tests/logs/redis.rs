//! A server that speaks Redis' protocol and has scripted replies.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use testing::{script::Script, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, extension::ApiKey, redis::Redis,
};

use crate::{CHAT, send, test, with};

/// The replies to calls of the script, in order. The last of them is repeated.
struct Replies {
    replies: Vec<fn() -> String>,
    given: AtomicUsize,
}

/// Sends requests under limits that are shared, with a pause after each, until the server has given these replies.
///
/// Connections take real time.
pub(crate) async fn shared(pause: Duration, replies: impl Into<Vec<fn() -> String>>) {
    tokio::time::resume();
    let replies = Arc::new(Replies {
        replies: replies.into(),
        given: AtomicUsize::new(0),
    });
    let url = serve(Arc::clone(&replies)).await;
    let quota = Quota::per_minute(6_000).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let limits = limits.in_flight(Endpoint::ChatCompletions, NonZeroU32::MAX);
    let limiter = Limiter::new(limits).shared_by(Redis::new(&url).unwrap());
    let layer = TogetherRateLimitLayer::from(limiter);
    until("all replies are given", async || {
        let own = with(CHAT, ApiKey::named(&test()));
        send(&layer, Script::new([]).client(), own).await;
        sleep(pause).await;
        replies.given.load(Ordering::Relaxed) >= replies.replies.len()
    })
    .await;
    // The last reply is on its way.
    sleep(Duration::from_millis(100)).await;
    tokio::time::pause();
}

impl Replies {
    fn next(&self) -> String {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        self.replies[given.min(self.replies.len() - 1)]()
    }
}

/// Starts a server, and returns its URL. The server ends with the runtime.
async fn serve(replies: Arc<Replies>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(respond(connection, Arc::clone(&replies)));
        }
    });
    format!("redis://:my-secret-password@{address}")
}

async fn respond(mut connection: TcpStream, replies: Arc<Replies>) {
    let mut read = Vec::new();
    while connection
        .read_buf(&mut read)
        .await
        .is_ok_and(|read| read > 0)
    {
        while let Some((name, rest)) = command(&read) {
            let reply = match &*name {
                "EVALSHA" => replies.next(),
                _ => "+OK\r\n".to_owned(),
            };
            read = rest;
            connection.write_all(reply.as_bytes()).await.unwrap();
        }
    }
}

/// The name of the first command, and the bytes after the command, if all of it is there: `*2\r\n$4\r\nECHO\r\n...`.
fn command(read: &[u8]) -> Option<(String, Vec<u8>)> {
    let (parts, mut rest) = number(read)?;
    let mut name = None;
    for _ in 0..parts {
        let (length, text) = number(rest)?;
        let part = text.get(..length)?;
        name.get_or_insert_with(|| String::from_utf8_lossy(part).into_owned());
        rest = text.get(length + 2..)?;
    }
    Some((name?, rest.to_vec()))
}

/// The number of a line such as `*2\r\n` or `$4\r\n`, and the bytes after it.
fn number(read: &[u8]) -> Option<(usize, &[u8])> {
    let end = read.windows(2).position(|pair| pair == b"\r\n")?;
    let digits = std::str::from_utf8(read.get(1..end)?).ok()?;
    Some((digits.parse().ok()?, &read[end + 2..]))
}

/// The error of a server that has just started.
pub(crate) fn loading() -> String {
    "-LOADING Redis is loading the dataset in memory\r\n".to_owned()
}

/// The error of a user without rights.
pub(crate) fn no_permission() -> String {
    "-NOPERM this user has no permissions to run the 'evalsha' command\r\n".to_owned()
}

/// The script's reply to a call for one lane with one limit: one request may depart now.
pub(crate) fn one_instant() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_micros();
    let (processes, lateness, due) = (2, 0, now);
    // Of the lane: whether this process learns, the pause, the departures, the paces and the events.
    let report = [0; 10];
    let (first, apart, instants) = (now, 20_000_000, 1);
    let numbers = [
        &[now, processes, lateness, due],
        &report[..],
        &[first, apart, instants],
    ];
    let numbers = numbers.concat();
    let lines: String = numbers
        .iter()
        .map(|number| format!(":{number}\r\n"))
        .collect();
    format!("*{}\r\n{lines}", numbers.len())
}
