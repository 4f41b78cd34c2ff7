//! Encrypted connections, to a server whose certificate only this test vouches for.

use std::{env, fs, net::TcpListener, process::Command, time::Duration};

use testing::redis::Server;
use tower_together::{Limiter, redis::Redis};

use super::{chat, events::Events, limits, send};

/// A certificate that vouches for itself, and its key, in files.
fn certificate() -> Option<(String, String)> {
    let folder = env::temp_dir().join(format!("redis-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    made.ok()?.status.success().then_some((certificate, key))
}

#[tokio::test]
#[ignore = "needs openssl and a redis-server with TLS"]
async fn a_certificate_that_the_user_names_is_trusted_and_no_other() {
    let Some((certificate, key)) = certificate() else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let settings = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ];
    let Some(_server) = Server::start_with(&settings) else {
        return;
    };
    let redis = Redis::new(&format!("rediss://localhost:{port}")).unwrap();
    let pem = fs::read(certificate).unwrap();
    for (trusts, redis) in [
        (false, redis.clone()),
        (true, redis.with_root_certificate(&pem).unwrap()),
    ] {
        let (events, _guard) = Events::listen();
        let limiter = Limiter::new(limits(100, 1)).shared_by(redis);
        let sent = send(&limiter, &chat(), Duration::from_secs(3)).await.len();
        let errors = events.errors();
        match trusts {
            true => assert!(sent >= 220 && errors.is_empty(), "{sent} {errors:?}"),
            false => assert!(
                (18..=40).contains(&sent) && errors.len() == 1 && errors[0].contains("certificate"),
                "{sent} {errors:?} {:?}",
                events.warnings()
            ),
        }
    }
}

#[test]
fn what_is_no_certificate_is_rejected() {
    for (url, pem) in [
        ("rediss://localhost", ""),
        (
            "rediss://localhost",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        (
            "redis://localhost",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let redis = Redis::new(url).unwrap();
        let error = redis.with_root_certificate(pem.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("PEM"), "{error}");
    }
}
