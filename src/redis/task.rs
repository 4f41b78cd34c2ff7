//! The task that carries errands to Redis, over one connection.

use std::{collections::HashMap, future::poll_fn, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, RedisError, ServerErrorKind,
    aio::MultiplexedConnection,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Redis, script, tls};
use crate::{
    limiter::share::{Errand, Seam, Unreached},
    words::Digest,
};

/// Carries errands until the limiter is dropped.
pub(super) async fn carry(seam: Seam, redis: Arc<Redis>) {
    let mut line = Line {
        seam: seam.clone(),
        redis,
        connection: None,
        calls: JoinSet::new(),
        known: HashMap::new(),
    };
    let mut rounds = interval(IDLE);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            errand = poll_fn(|cx| seam.poll_errand(cx)) => match errand {
                Some(errand) => line.send(errand).await,
                None => return line.leave().await,
            },
            Some(well) = line.calls.join_next() => {
                if !well.unwrap_or(false) {
                    line.connection = None;
                }
            }
            // Without a connection the server forgets this process by itself.
            _ = rounds.tick(), if line.connection.is_some() => {
                for errand in seam.goodbyes() {
                    line.send(errand).await;
                }
            }
        }
    }
}

/// The connection, and the calls that are under way.
struct Line {
    seam: Seam,
    redis: Arc<Redis>,
    connection: Option<MultiplexedConnection>,
    calls: JoinSet<bool>,
    /// The last errand of each key of which the server knows this process.
    known: HashMap<Digest, Errand>,
}

impl Line {
    async fn send(&mut self, errand: Errand) {
        if self.connection.is_none() {
            match connect(&self.redis).await {
                Ok(new) => self.connection = Some(new),
                Err(why) => return self.seam.done(&errand, Err(why)),
            }
        }
        match errand.ask.leaves {
            true => drop(self.known.remove(&errand.digest)),
            false => drop(self.known.insert(errand.digest, errand.clone())),
        }
        let Some(connection) = self.connection.clone() else {
            return;
        };
        let (seam, redis) = (self.seam.clone(), Arc::clone(&self.redis));
        self.calls.spawn(send(seam, redis, connection, errand));
    }

    /// Says goodbye for all keys, so that nothing is set aside for a limiter that is dropped.
    async fn leave(mut self) {
        for mut errand in std::mem::take(&mut self.known).into_values() {
            errand.ask.leaves = true;
            errand.ask.terms.clear();
            errand.ask.reports.clear();
            errand.ask.lanes.clear();
            if self.connection.is_some() {
                self.send(errand).await;
            }
        }
        while self.calls.join_next().await.is_some() {}
    }
}

async fn connect(redis: &Redis) -> Result<MultiplexedConnection, Unreached> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(CALL_TIMEOUT));
    if matches!(
        redis.client.get_connection_info().addr(),
        ConnectionAddr::TcpTls { .. }
    ) {
        tls::provide_cryptography();
    }
    let connected = redis
        .client
        .get_multiplexed_async_connection_with_config(&config);
    match timeout(CONNECT_TIMEOUT, connected).await {
        Ok(connection) => connection.map_err(|error| why(&error)),
        Err(_) => Err(Unreached::Failed("the connection timed out")),
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
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script::by_text(namespace, digest, ask)
                .query_async(connection)
                .await
        }
        reply => reply,
    }
}

/// The reason for which there is no reply. If only the user can end it, the text says how.
fn why(error: &RedisError) -> Unreached {
    let detail = error.detail().unwrap_or_default();
    // Redis 6 names the code of an error in a script only within its words.
    let says = |words: &[&str]| {
        let code = error.code().unwrap_or_default();
        words
            .iter()
            .any(|word| code == *word || detail.contains(word))
    };
    if error.kind() == ErrorKind::AuthenticationFailed || says(&NO_PASSWORD) {
        Unreached::Misconfigured("Redis rejects the user or the password of the URL")
    } else if error.to_string().contains("invalid peer certificate") {
        Unreached::Misconfigured(
            "the certificate of Redis is not trusted: see `Redis::with_root_certificate`",
        )
    } else if says(&NO_RIGHTS) {
        Unreached::Misconfigured(
            "Redis does not allow the user the commands of the script: see `redis`, \"Rights\"",
        )
    } else if says(&["nknown command", "nknown Redis command", "random commands"]) {
        Unreached::Misconfigured(
            "Redis lacks a command of the script: it must be Redis 6.0 or later, or Valkey",
        )
    } else if says(&["WRONGTYPE"]) {
        Unreached::Misconfigured(
            "keys of other programs stand where the limits should: choose another namespace",
        )
    } else if says(&["READONLY"]) {
        Unreached::Failed("this Redis is a replica")
    } else if says(&["LOADING"]) {
        Unreached::Failed("Redis is loading its data")
    } else if says(&["OOM"]) {
        Unreached::Failed("Redis has no memory left")
    } else if error.is_timeout() {
        Unreached::Silent
    } else if error.is_io_error() {
        Unreached::Failed("the connection was refused or broke")
    } else {
        Unreached::Failed("Redis replied with an error")
    }
}

/// The last is what Redis says of a call of more than ten words without a password.
const NO_PASSWORD: [&str; 3] = ["NOAUTH", "WRONGPASS", "unauthenticated"];
/// The words of a lack of rights, in Redis 6 and later, and in Valkey.
const NO_RIGHTS: [&str; 5] = [
    "NOPERM",
    "can't run this command",
    "ACL failure",
    "no permissions",
    "not allowed from script",
];

/// A process that has needed nothing for this time says goodbye.
const IDLE: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
const CALL_TIMEOUT: Duration = Duration::from_millis(1_200);
