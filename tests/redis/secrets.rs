//! The knowledge that Redis has of an API key.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use sha2::{Digest, Sha256};
use testing::redis::Server;

use super::{Admin, limiter, limits, of_key, send};

/// Neither the letters of a key nor its SHA-256, which is known of a key that was published.
#[tokio::test]
async fn no_part_of_a_key_is_ever_sent_to_redis() {
    let Some(server) = Server::start() else {
        return;
    };
    let key = "tgp_v1_Zk93hQpLmXwRt5vByNcD";
    let socket = server.url().replace("redis+unix://", "");
    let mut monitor = UnixStream::connect(socket).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let limiter = limiter(&server.url(), limits(100, 1));
    let sent = send(&limiter, &of_key(key), Duration::from_secs(1)).await;
    assert!(!sent.is_empty());
    let mut admin = Admin::of(&server);
    let digest = Sha256::digest(key);
    let mut seen = String::new();
    for hash in admin.keys("h") {
        seen += &hash;
        for part in admin.ask::<Vec<Vec<u8>>>(&["HGETALL", &hash]) {
            assert!(!part.windows(6).any(|bytes| bytes == &digest[..6]));
            seen += &String::from_utf8_lossy(&part);
        }
    }
    monitor
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let mut buffer = [0; 1 << 16];
    while let Ok(n @ 1..) = monitor.read(&mut buffer) {
        seen += &String::from_utf8_lossy(&buffer[..n]);
    }
    assert!(seen.contains("evalsha") || seen.contains("EVALSHA"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &key[..12],
        &key[8..16],
        &key[14..],
        &hex[..12],
        &hex[26..38],
        &hex[52..],
    ];
    for part in parts {
        assert!(
            !seen.to_lowercase().contains(&part.to_lowercase()),
            "{part}"
        );
    }
}
