//! A server that is no Redis.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{chat, limiter, limits, most, send};

/// Replies `+OK` to what a client says of itself, and `garbage` to each call; without end if `repeats`.
async fn reply(mut stream: TcpStream, garbage: Vec<u8>, repeats: bool) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        for _ in 0..text.matches("SETINFO").count() {
            stream.write_all(b"+OK\r\n").await?;
        }
        for _ in 0..text.matches("\r\nEVAL").count() {
            if garbage.is_empty() {
                return Ok(());
            }
            stream.write_all(&garbage).await?;
            if !repeats {
                continue;
            }
            loop {
                stream.write_all(b":1\r\n:1\r\n:1\r\n:1\r\n").await?;
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    }
}

async fn start(garbage: Vec<u8>, repeats: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(reply(stream, garbage.clone(), repeats));
        }
    });
    url
}

fn numbers(numbers: &[i64]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", numbers.len());
    for number in numbers {
        reply += &format!(":{number}\r\n");
    }
    reply.into_bytes()
}

/// The limit holds, and this process goes on with its part: 11 a second of 100. Instants lapse while the machine is
/// busy with other tests, so that fewer depart. Virtual time has the exact figure (`limiter/share/tests`).
#[tokio::test]
async fn nonsense_lets_no_more_through_and_stops_nothing() {
    let now = 1_795_000_000_000_000;
    let (most_of_all, second) = (i64::MAX, 1_000_000_000);
    // now, members, lateness, due; learns, paused, since, departed, paces and their epochs, events; first, apart, n
    let nothing = [0; 10];
    let reply = |report: [i64; 10], [first, apart, n]: [i64; 3]| {
        let head = [now, 1, 15_000, now];
        numbers(&[&head[..], &report, &[first, apart, n]].concat())
    };
    let sound = [now, 10_150_000, 1];
    let learned = |apart, epoch| [1, 0, 0, 0, 0, apart, epoch, 0, 0, 0];
    let replies: [(&str, Vec<u8>, bool); 22] = [
        ("closes", Vec::new(), false),
        (
            "no RESP",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            false,
        ),
        ("a number", b":1\r\n".to_vec(), false),
        ("nothing", b"$-1\r\n".to_vec(), false),
        ("an empty array", b"*0\r\n".to_vec(), false),
        ("words", b"*2\r\n$3\r\nabc\r\n$3\r\ndef\r\n".to_vec(), false),
        ("an endless array", b"*2000000000\r\n".to_vec(), true),
        ("a huge text", b"$500000000\r\n".to_vec(), true),
        ("a deep array", b"*1\r\n".repeat(100_000), false),
        ("an array of -7", b"*-7\r\n".to_vec(), false),
        ("negative", numbers(&[-1; 17]), false),
        ("huge", numbers(&[most_of_all; 17]), false),
        ("zero", numbers(&[0; 17]), false),
        (
            "more than wanted",
            reply(nothing, [now, second, most_of_all]),
            false,
        ),
        ("all at once", reply(nothing, [now, 1, 1]), false),
        (
            "ever so late",
            numbers(
                &[
                    &[now, 1, most_of_all / 4_000, now],
                    &nothing[..],
                    &[now - 9_000_000, 10_000_000, 1],
                ]
                .concat(),
            ),
            false,
        ),
        (
            "years ahead",
            reply(nothing, [8 * now, 10_000_000, 0]),
            false,
        ),
        (
            "a pace of years",
            reply(learned(most_of_all / 2, 1), sound),
            false,
        ),
        (
            "a pace that nothing replaces",
            reply(learned(10_000_000_000, most_of_all), sound),
            false,
        ),
        (
            "events without end",
            reply([1, 0, 0, 0, 0, 0, 0, 0, 0, most_of_all], sound),
            false,
        ),
        (
            "unknown events",
            reply([1, 0, 0, 0, 0, 0, 0, 0, 0, 2], [9, 9, 9]),
            false,
        ),
        (
            "a report that is cut off",
            numbers(&[now, 1, 15_000, now, 1, 0]),
            false,
        ),
    ];
    let runs = replies.map(|(what, garbage, repeats)| async move {
        let limiter = limiter(&start(garbage, repeats).await, limits(100, 1));
        let departures = send(&limiter, &chat(), Duration::from_secs(4)).await;
        (what, departures)
    });
    let since = Instant::now();
    for (what, departures) in futures::future::join_all(runs).await {
        let most = most(&departures, Duration::from_secs(1));
        let last = departures.last().map(|at| *at - since);
        assert!(most <= 100, "{what}: {most} in a second");
        assert!(
            departures.len() >= 8 && last > Some(Duration::from_secs(3)),
            "{what}: {} departed, the last after {last:?}",
            departures.len()
        );
    }
}
