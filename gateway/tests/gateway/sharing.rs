//! Gateways that share the limits of one key through Redis.

use std::iter;

use serde_json::{Value, json};
use testing::{redis::Server, until};
use together_standin::{Arrival, StandIn};
use tokio::task::JoinSet;

use crate::{
    process::{Gateway, command},
    program::{Program, chat},
    stand_in,
};

/// Two gateways over one API and one Redis, each with calls that wait at all times.
struct Two {
    api: StandIn,
    gateways: [Gateway; 2],
    calls: JoinSet<()>,
}

impl Two {
    async fn start(redis: &str) -> Self {
        let api = stand_in().await;
        let url = api.url();
        let limit = format!("chat-completions={}", 60 * PER_SECOND);
        let args = ["--base-url", &url, "--limit", &limit, "--redis", redis];
        // One of them has the address from the environment.
        let env = [("GATEWAY_REDIS", redis)];
        let gateways = [
            Gateway::start(&args).await,
            Gateway::start_with(&args[..4], &env).await,
        ];
        let mut calls = JoinSet::new();
        for gateway in &gateways {
            for _ in 0..8 {
                let requests = iter::repeat_with(|| gateway.post(chat("m"))).take(1_000);
                let requests: Vec<_> = requests.collect();
                calls.spawn(async move {
                    let program = Program::new("tom");
                    for request in requests {
                        assert_eq!(program.send(request).await.status, 200);
                    }
                });
            }
        }
        Self {
            api,
            gateways,
            calls,
        }
    }

    /// Waits until `more` more requests have arrived at the API, and returns how many each gateway has sent of them.
    async fn sent(&mut self, more: usize) -> [u64; 2] {
        let before = self.admitted().await;
        let wanted = self.api.arrivals().len() + more;
        until("the requests arrive", async || {
            self.api.arrivals().len() >= wanted
        })
        .await;
        let after = self.admitted().await;
        while let Some(ended) = self.calls.try_join_next() {
            ended.expect("no request fails");
        }
        [after[0] - before[0], after[1] - before[1]]
    }

    /// The sharing as one of them tells it, on its page and in its metrics.
    async fn tells(&self) -> (Value, String) {
        let sharing = self.gateways[0].lanes().await["sharing"].clone();
        let request = self.gateways[0].get("/metrics");
        let metrics = Program::new("").send(request).await;
        (sharing, metrics.text().to_owned())
    }

    async fn admitted(&self) -> [u64; 2] {
        let mut counts = [0; 2];
        for (gateway, count) in self.gateways.iter().zip(&mut counts) {
            let lanes = gateway.lanes().await;
            if lanes["lanes"]
                .as_array()
                .is_some_and(|lanes| !lanes.is_empty())
            {
                let lane = lanes.of("chat-completions", Some("m"));
                *count = lane["admitted"].as_u64().unwrap();
            }
        }
        counts
    }
}

/// The most requests beyond the limit in any stretch of time.
fn over(arrivals: &[Arrival]) -> f64 {
    let mut times: Vec<_> = arrivals.iter().map(|arrival| arrival.at).collect();
    times.sort_unstable();
    let mut most: f64 = 0.0;
    for (first, from) in times.iter().enumerate() {
        for (last, until) in times.iter().enumerate().skip(first) {
            let allowed = (*until - *from).as_secs_f64() * PER_SECOND as f64;
            most = most.max((last + 1 - first) as f64 - allowed);
        }
    }
    most
}

/// Whether both have sent about the same.
fn are_equal([one, other]: [u64; 2]) -> bool {
    one.abs_diff(other) * 5 <= one + other
}

#[tokio::test]
async fn gateways_share_a_limit_equally_and_go_on_within_it_without_redis() {
    let Some(mut redis) = Server::start() else {
        return;
    };
    let mut two = Two::start(&redis.url()).await;
    // Each learns of the other in these.
    two.sent(20).await;
    let shares = two.sent(60).await;
    assert!(are_equal(shares), "{shares:?}");
    let (sharing, metrics) = two.tells().await;
    assert_eq!(
        (&sharing["processes"], &sharing["away"]),
        (&json!(2), &json!(null))
    );
    assert!(
        metrics.contains("\ntogether_gateway_redis_away 0\n"),
        "{metrics}"
    );
    redis.kill();
    let alone = two.sent(60).await;
    assert!(are_equal(alone), "{alone:?}");
    let (sharing, metrics) = two.tells().await;
    assert!(sharing["away"][0].as_f64() > Some(0.25), "{sharing}");
    assert!(
        metrics.contains("\ntogether_gateway_redis_away 1\n"),
        "{metrics}"
    );
    assert!(redis.restart());
    let again = two.sent(60).await;
    assert!(are_equal(again), "{again:?}");
    // Requests may take up to half a second longer than others on their way. Gateways that do not share are
    // beyond the limit by more after a second.
    let over = over(&two.api.arrivals());
    assert!(over <= PER_SECOND as f64 / 2.0, "{over}");
}

#[tokio::test]
async fn what_is_no_address_of_redis_is_said_without_its_password() {
    for url in [
        "",
        "redis",
        "redis://",
        "http://:hidden@localhost",
        "redis://tom:hidden@localhost:port",
        "redis://:hidden@localhost/database",
        "rediss://:hidden@localhost/#fragment",
        "redis://:hidden%ff@localhost",
    ] {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(&file, format!("redis = \"{url}\"")).unwrap();
        let path = file.path().to_str().unwrap();
        for (args, env, name) in [
            (&["--redis", url][..], None, "--redis: "),
            (&["--config", path], None, "--redis: "),
            (&[], Some(url), "GATEWAY_REDIS: "),
        ] {
            let mut command = command(args);
            command.envs(env.map(|url| ("GATEWAY_REDIS", url)));
            let output = command.output().await.unwrap();
            assert_eq!(output.status.code(), Some(2), "{url}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(name), "{url}: {said}");
            assert!(said.contains("redis://127.0.0.1:6379"), "{url}: {said}");
            assert!(!said.contains("hidden"), "{url}: {said}");
            assert!(output.stdout.is_empty());
        }
    }
}

/// A Redis that is not there when a gateway starts is no reason not to start.
#[tokio::test]
async fn a_gateway_starts_without_its_redis() {
    for url in [
        "redis://127.0.0.1:1",
        "rediss://127.0.0.1:1",
        "redis+unix:///nowhere",
    ] {
        let gateway = Gateway::start(&["--redis", url]).await;
        for _ in 0..2 {
            let response = Program::new("tom").send(gateway.post(chat("m"))).await;
            assert_eq!(response.status, 200, "{url}");
        }
    }
}

const PER_SECOND: u64 = 20;
