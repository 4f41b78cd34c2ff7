//! The task that carries errands to Redis, over one connection.

use std::{future::poll_fn, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ErrorKind, RedisError, ServerErrorKind, aio::MultiplexedConnection,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Redis, script};
use crate::limiter::share::{Errand, Seam, Unreached};

/// Carries errands until the limiter is dropped.
pub(super) async fn carry(seam: Seam, redis: Arc<Redis>) {
    let mut connection: Option<MultiplexedConnection> = None;
    let mut calls: JoinSet<bool> = JoinSet::new();
    loop {
        let errand = tokio::select! {
            errand = poll_fn(|cx| seam.poll_errand(cx)) => errand,
            Some(well) = calls.join_next() => {
                if !well.unwrap_or(false) {
                    connection = None;
                }
                continue;
            }
            () = sleep(IDLE) => {
                // An errand that is not carried would never be done.
                if let Some(connection) = connection.as_ref() {
                    for errand in seam.goodbyes() {
                        calls.spawn(send(seam.clone(), Arc::clone(&redis), connection.clone(), errand));
                    }
                }
                continue;
            }
        };
        let Some(errand) = errand else { return };
        if connection.is_none() {
            connection = match connect(&redis).await {
                Ok(new) => Some(new),
                Err(why) => {
                    seam.done(&errand, Err(why));
                    None
                }
            };
        }
        if let Some(connection) = &connection {
            calls.spawn(send(
                seam.clone(),
                Arc::clone(&redis),
                connection.clone(),
                errand,
            ));
        }
    }
}

async fn connect(redis: &Redis) -> Result<MultiplexedConnection, Unreached> {
    #[cfg(feature = "redis-tls")]
    choose_cryptography();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(CALL_TIMEOUT));
    let connected = redis
        .client
        .get_multiplexed_async_connection_with_config(&config);
    match timeout(CONNECT_TIMEOUT, connected).await {
        Ok(connection) => connection.map_err(|error| why(&error)),
        Err(_) => Err(Unreached::Failed("the connection timed out")),
    }
}

/// Chooses the cryptography of this process, unless the program has. rustls panics if several are compiled in, or none.
#[cfg(feature = "redis-tls")]
fn choose_cryptography() {
    use rustls::crypto::{CryptoProvider, aws_lc_rs};

    if CryptoProvider::get_default().is_none() {
        // An error means that another thread has chosen.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

/// Makes one call, and hands the reply over. Returns whether the connection can be used again.
async fn send(
    seam: Seam,
    redis: Arc<Redis>,
    mut connection: MultiplexedConnection,
    errand: Errand,
) -> bool {
    let reply = match timeout(CALL_TIMEOUT, call(&redis, &mut connection, &errand)).await {
        Ok(Ok(numbers)) => script::reply(&numbers, &errand.ask)
            .ok_or(Unreached::Failed("the reply is not one of the script's")),
        Ok(Err(error)) => Err(why(&error)),
        Err(_) => Err(Unreached::Silent),
    };
    let well = reply.is_ok();
    seam.done(&errand, reply);
    well
}

async fn call(
    redis: &Redis,
    connection: &mut MultiplexedConnection,
    errand: &Errand,
) -> Result<Vec<i64>, RedisError> {
    let (namespace, digest, ask) = (&redis.namespace, &errand.digest, &errand.ask);
    let by_hash = script::by_hash(namespace, digest, ask);
    match by_hash.query_async(connection).await {
        // SCRIPT LOAD may be forbidden, and a failover would forget the script again.
        Err(error) if is(&error, ServerErrorKind::NoScript) => {
            script::by_text(namespace, digest, ask)
                .query_async(connection)
                .await
        }
        reply => reply,
    }
}

/// The reason for which there is no reply. If only the user can end it, the text says how.
fn why(error: &RedisError) -> Unreached {
    let is = |kind| is(error, kind);
    let detail = error.detail().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
    {
        Unreached::Misconfigured("Redis rejects the user or the password of the URL")
    } else if is(ServerErrorKind::NoPerm) || detail.contains("not allowed from script") {
        Unreached::Misconfigured(
            "Redis does not allow the user the commands of the script: see `redis`, \"Rights\"",
        )
    } else if detail.contains("unknown command") || detail.contains("random commands") {
        Unreached::Misconfigured(
            "Redis lacks a command of the script: it must be Redis 6.0 or later, or Valkey",
        )
    } else if error.code() == Some("WRONGTYPE") {
        Unreached::Misconfigured(
            "keys of other programs stand where the limits should: choose another namespace",
        )
    } else if is(ServerErrorKind::ReadOnly) {
        Unreached::Failed("this Redis is a replica")
    } else if is(ServerErrorKind::BusyLoading) {
        Unreached::Failed("Redis is loading its data")
    } else if error.code() == Some("OOM") {
        Unreached::Failed("Redis has no memory left")
    } else if error.is_timeout() {
        Unreached::Silent
    } else if error.is_io_error() {
        Unreached::Failed("the connection was refused or broke")
    } else {
        Unreached::Failed("Redis replied with an error")
    }
}

fn is(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// A process that has needed nothing for this time says goodbye.
const IDLE: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
const CALL_TIMEOUT: Duration = Duration::from_millis(1_200);
