//! An ideal client: it knows the server's rules and its clock, and each request arrives at the very instant there is
//! room for it.

use std::time::Duration;

use simulation::server::{Server as Counting, Tokens};

use crate::servers::{Server, arrival};

/// The time from the arrival of each batch of calls to the end of its last call, if that takes as long as any may.
pub(crate) fn times(server: &Server, tokens: &[Tokens], seed: u64) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    // The first numbers are those that the run's own server draws: its clock is the same.
    let mut counting = Counting::new(server.rules, &mut random);
    let (mut now, batches) = (Duration::ZERO, server.work.batches());
    let network = server.network;
    let response = Duration::from_millis(network.thinks.1 + 2 * network.delay.1);
    let batch = |(batch, tokens): (usize, &[Tokens])| {
        now = now.max(arrival(batch));
        for tokens in tokens {
            now = accepted(&mut counting, now, *tokens, &mut random);
        }
        now + response - arrival(batch)
    };
    tokens
        .chunks(tokens.len() / batches)
        .enumerate()
        .map(batch)
        .collect()
}

/// The instant at which a call is accepted by a server that does not fail it then.
fn accepted(
    server: &mut Counting,
    mut now: Duration,
    tokens: Tokens,
    random: &mut fastrand::Rng,
) -> Duration {
    let fails = server.fails();
    loop {
        loop {
            let wait = server.wait(now);
            if wait.is_zero() {
                break;
            }
            now += wait;
        }
        server.arrival(now, tokens);
        server.responded(now, tokens);
        if random.f64() >= fails.busy + fails.reset {
            return now;
        }
    }
}
