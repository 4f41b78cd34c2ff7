//! The beginning and the end of a connection, and of a process's membership.

use std::{
    thread,
    time::{Duration, Instant},
};

use testing::{redis::Server, until};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};
use tower_together::{Limiter, limiter::Reason};

use super::{Admin, chat, limiter, limits, of_key, send};

const SECOND: Duration = Duration::from_secs(1);

async fn pass(limiter: &Limiter, key: &str) {
    let acquired = timeout(2 * SECOND, limiter.acquire(of_key(key))).await;
    drop(acquired.expect("a turn within 2 s").unwrap());
}

#[tokio::test]
async fn a_dropped_limiter_ends_its_connection() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    let limiter = limiter(&server.url(), limits(100, 1));
    for key in ["one", "two", "three"] {
        pass(&limiter, key).await;
    }
    assert_eq!((admin.connections(), admin.keys("h").len()), (1, 3));
    drop(limiter);
    until("the connection has ended", async || {
        admin.connections() == 0
    })
    .await;
}

/// Nothing is set aside for a key of this process that has nothing to send, whatever its other keys do.
#[tokio::test]
async fn an_idle_key_says_goodbye_while_another_is_busy() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    let limiter = limiter(&server.url(), limits(100, 1));
    pass(&limiter, "idle").await;
    let busy = limiter.clone();
    let busy = tokio::spawn(async move { send(&busy, &of_key("busy"), 3 * SECOND).await });
    sleep(2 * SECOND).await;
    let mut processes = admin.processes();
    processes.sort_unstable();
    assert_eq!(processes, [1], "the set of the idle key is gone");
    busy.await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_idle_while_the_connection_broke_is_shared_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let limiter = limiter(&server.url(), limits(100, 1));
    pass(&limiter, "idle").await;
    pass(&limiter, "other").await;
    server.kill();
    // The call of the other key fails, and with it the connection.
    sleep(Duration::from_millis(100)).await;
    send(&limiter, &of_key("other"), SECOND).await;
    assert!(server.restart());
    sleep(SECOND).await;
    let mut admin = Admin::of(&server);
    send(&limiter, &of_key("idle"), SECOND).await;
    assert_eq!(admin.processes(), [1], "the idle key has called again");
}

#[test]
fn a_limiter_outlives_the_runtime_that_its_connection_was_in() {
    let Some(server) = Server::start() else {
        return;
    };
    let limiter = limiter(&server.url(), limits(100, 1));
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    first.block_on(pass(&limiter, "a"));
    // A request of another runtime waits while the first one ends.
    let waits = limiter.clone();
    let second = thread::spawn(move || runtime().block_on(send(&waits, &of_key("a"), 3 * SECOND)));
    thread::sleep(SECOND);
    drop(first);
    thread::sleep(Duration::from_millis(500));
    let end = Instant::now();
    let departures = second.join().unwrap();
    let later = departures.iter().filter(|at| **at >= end).count();
    assert!(
        later >= 80,
        "{later} of 150 departed after the first runtime"
    );
    assert_eq!(Admin::of(&server).processes(), [1]);
}

#[tokio::test]
async fn a_cancelled_request_costs_no_more_than_its_instants() {
    let Some(server) = Server::start() else {
        return;
    };
    let limiter = limiter(&server.url(), limits(100, 1));
    for _ in 0..200 {
        let _ = timeout(Duration::from_millis(2), limiter.acquire(chat())).await;
    }
    let departures = send(&limiter, &chat(), SECOND).await;
    assert!(departures.len() >= 70, "{}", departures.len());
}

#[tokio::test]
async fn try_acquire_in_a_loop_has_its_turns() {
    let Some(server) = Server::start() else {
        return;
    };
    let limiter = limiter(&server.url(), limits(100, 1));
    let (end, mut departed) = (Instant::now() + 2 * SECOND, 0);
    while Instant::now() < end {
        match limiter.try_acquire(chat()) {
            Ok(_) => departed += 1,
            Err(rejected) => assert_eq!(rejected.reason(), Reason::WouldWait),
        }
        sleep(Duration::from_millis(2)).await;
    }
    assert!((120..=202).contains(&departed), "{departed} of 200");
}

#[tokio::test]
async fn new_limits_hold_for_what_is_sent_from_then_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let limiter = limiter(&server.url(), limits(100, 1));
    send(&limiter, &chat(), SECOND).await;
    limiter.set_limits(limits(20, 1));
    sleep(SECOND).await;
    let fewer = send(&limiter, &chat(), 2 * SECOND).await.len();
    assert!((30..=42).contains(&fewer), "{fewer} of 40");
}
