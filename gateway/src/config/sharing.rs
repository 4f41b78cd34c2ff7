//! `--redis`: the server through which gateways share the limits of their key.

use tower_together::{Limiter, redis::Redis};

use crate::config::args::{self, Args};

/// Shares the limits of a limiter if the command line or the environment names a Redis.
///
/// The address is parsed here and not by clap, whose errors show values: the address may hold a password.
pub(crate) fn shared(limiter: Limiter, args: &Args) -> Result<Limiter, String> {
    let (name, url) = match &args.redis {
        Some(url) => ("--redis", Some(url.clone())),
        None => (VARIABLE, args::env(VARIABLE)?),
    };
    let Some(url) = url else {
        return Ok(limiter);
    };
    match Redis::new(&url) {
        Ok(redis) => Ok(limiter.shared_by(redis)),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

const VARIABLE: &str = "GATEWAY_REDIS";
