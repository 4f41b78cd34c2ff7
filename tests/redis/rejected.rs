//! A server that rejects the calls: what the user is told, and what is sent meanwhile.

use std::time::Duration;

use testing::redis::Server;

use super::{Admin, chat, events::Events, limiter, limits, send};

const COMMANDS: [&str; 11] = [
    "eval",
    "evalsha",
    "time",
    "hmget",
    "hset",
    "zadd",
    "zcard",
    "zcount",
    "zrem",
    "zremrangebyscore",
    "pexpire",
];

/// The URL of a user with these commands on the keys of the default namespace.
fn user(admin: &mut Admin, server: &Server, commands: &[&str]) -> String {
    let commands: Vec<_> = commands
        .iter()
        .map(|command| format!("+{command}"))
        .collect();
    let rights = [
        "ACL",
        "SETUSER",
        "worker",
        "reset",
        "on",
        ">pass",
        "~tower-together:*",
    ];
    let rights: Vec<_> = rights
        .into_iter()
        .chain(commands.iter().map(String::as_str))
        .collect();
    admin.tell(&rights);
    format!("{}?user=worker&pass=pass", server.url())
}

/// The departures in two seconds of a limit of 100 a second, and the errors and warnings meanwhile.
async fn outcome(url: &str) -> (usize, Vec<String>, Vec<String>) {
    let (events, _guard) = Events::listen();
    let limiter = limiter(url, limits(100, 1));
    let sent = send(&limiter, &chat(), Duration::from_secs(2)).await;
    drop(limiter);
    // Its goodbye comes before the next limiter.
    tokio::time::sleep(Duration::from_millis(500)).await;
    (sent.len(), events.errors(), events.warnings())
}

/// Asserts that a fault of the setup is told once, loudly, and that this process's part is sent: 11 a second.
async fn is_told(what: &str, url: &str, words: &str) {
    let (sent, errors, warnings) = outcome(url).await;
    assert!((12..=26).contains(&sent), "{what}: {sent}");
    assert!(
        errors.len() == 1 && errors[0].contains(words),
        "{what}: {errors:?} {warnings:?}"
    );
    assert_eq!(warnings.len(), 0, "{what}: {warnings:?}");
}

#[tokio::test]
async fn a_user_with_the_commands_of_the_script_suffices_and_each_lack_is_told_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    let url = user(&mut admin, &server, &COMMANDS);
    let (sent, errors, warnings) = outcome(&url).await;
    assert_eq!(
        (errors.len(), warnings.len()),
        (0, 0),
        "{errors:?} {warnings:?}"
    );
    assert!(sent >= 150, "{sent}");
    for lacks in ["evalsha", "eval", "time", "zadd", "hset"] {
        admin.tell(&["FLUSHALL"]);
        admin.tell(&["SCRIPT", "FLUSH"]);
        let rest: Vec<_> = COMMANDS
            .into_iter()
            .filter(|command| *command != lacks)
            .collect();
        let url = user(&mut admin, &server, &rest);
        is_told(lacks, &url, "Rights").await;
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_foreign_key_are_told_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    let url = format!("{}?user=nobody&pass=wrong", server.url());
    is_told("wrong password", &url, "password").await;
    drop(outcome(&server.url()).await);
    let hash = admin.keys("h").remove(0);
    admin.tell(&["FLUSHALL"]);
    admin.tell(&["SET", &hash, "of another program"]);
    is_told("foreign key", &server.url(), "namespace").await;
    admin.tell(&["CONFIG", "SET", "requirepass", "secret"]);
    is_told("no password", &server.url(), "password").await;
}

#[tokio::test]
async fn a_full_server_or_a_replica_is_an_outage_that_ends_by_itself() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    let faults = [
        (
            ["CONFIG", "SET", "maxmemory", "1"],
            ["CONFIG", "SET", "maxmemory", "0"],
            "memory",
        ),
        (
            ["REPLICAOF", "127.0.0.1", "1", ""],
            ["REPLICAOF", "NO", "ONE", ""],
            "replica",
        ),
    ];
    for (breaks, heals, words) in faults {
        let (events, _guard) = Events::listen();
        let limiter = limiter(&server.url(), limits(100, 1));
        let words_of = |command: [&'static str; 4]| -> Vec<&str> {
            command
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect()
        };
        admin.tell(&words_of(breaks));
        let alone = send(&limiter, &chat(), Duration::from_secs(2)).await.len();
        assert!(
            (12..=26).contains(&alone),
            "{words}: {alone} {:?}",
            events.warnings()
        );
        admin.tell(&words_of(heals));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shared = send(&limiter, &chat(), Duration::from_secs(2)).await.len();
        assert!(shared >= 150, "{words}: {shared}");
        drop(limiter);
        // Its goodbye comes before the next fault.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let warnings = events.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains(words),
            "{warnings:?}"
        );
        assert_eq!(events.errors().len(), 0, "{:?}", events.errors());
    }
}

#[tokio::test]
async fn a_server_without_scripts_of_its_own_to_keep_is_enough() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    admin.tell(&["ACL", "SETUSER", "default", "-script"]);
    let (sent, errors, warnings) = outcome(&server.url()).await;
    assert_eq!(
        (errors.len(), warnings.len()),
        (0, 0),
        "{errors:?} {warnings:?}"
    );
    assert!(sent >= 150, "{sent}");
}

#[tokio::test]
async fn nonsense_in_the_hash_and_instants_hours_ahead_do_not_stop_anything() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut admin = Admin::of(&server);
    drop(outcome(&server.url()).await);
    let hash = admin.keys("h").remove(0);
    let fields: Vec<String> = admin.ask(&["HKEYS", &hash]);
    let ahead = (1_000_000 * (60 * 60 * 5 + admin.ask::<Vec<u64>>(&["TIME"])[0])).to_string();
    for value in ["nonsense", "-1", "1e300", "nan", "inf", "", &ahead] {
        for field in &fields {
            admin.tell(&["HSET", &hash, field, value]);
        }
        let (sent, errors, warnings) = outcome(&server.url()).await;
        assert_eq!(
            (errors.len(), warnings.len()),
            (0, 0),
            "{value}: {errors:?} {warnings:?}"
        );
        assert!((150..=203).contains(&sent), "{value}: {sent}");
    }
}
