//! More programs than the system gives file descriptors.

use std::time::Duration;

use http::StatusCode;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, chat},
};
use testing::{PATIENCE, until};

const FLAGS: [&str; 2] = ["--limit", "chat-completions=600000"];

/// 77 of 1,300 programs got 502: "Too many open files".
#[tokio::test]
async fn more_programs_than_descriptors_are_all_served() {
    let api = Api::start().await;
    api.holds();
    let gateway = Gateway::under("-n 100", &api.url(), &FLAGS).await;
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let request = gateway.post(chat("m"));
        calls.spawn(async move {
            let program = Program::new(&format!("program-{n}"));
            program.send(request).await.status
        });
    }
    until("all that have a descriptor have left", async || {
        api.arrived().len() == 40
    })
    .await;
    api.lets_go(1_000);
    let all = timeout(PATIENCE, calls.join_all()).await.unwrap();
    assert_eq!(all, [StatusCode::OK; 200]);
}

/// A soft limit is raised to the hard one, so that no call waits.
#[tokio::test]
async fn the_soft_limit_is_raised() {
    let api = Api::start().await;
    api.holds();
    let gateway = Gateway::under("-Sn 64", &api.url(), &FLAGS).await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let request = gateway.post(chat("m"));
        calls.spawn(async move { Program::new("tom").send(request).await.status });
    }
    until("all have left", async || api.arrived().len() == 100).await;
    api.lets_go(1_000);
    let all = timeout(Duration::from_secs(30), calls.join_all()).await;
    assert_eq!(all.unwrap(), [StatusCode::OK; 100]);
}
