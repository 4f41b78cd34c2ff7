//! One trace of random calls has the same replies from the ledger in Rust and from the script in Redis.

use fastrand::Rng;
use redis::{Connection, FromRedisValue};
use testing::redis::Server;

use super::script;
use crate::{
    quota::shared::{Ask, LaneAsk, Ledger, Name, Pause, Reply, Stamp, Term},
    words::Span,
};

/// Random calls of a few processes, some of them careless.
struct Calls {
    rng: Rng,
    now: u64,
    last: Reply,
    terms: Vec<Term>,
}

impl Calls {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let terms = (0..rng.u64(1..=4)).map(|name| Term {
            name: Name(name),
            max: 1 + (rng.f64().powi(3) * 1e5) as u64,
            window: Span::nanos(rng.u64(1..=120_000) * 1_000_000),
            lag: Span::millis(rng.u64(0..=100)),
            ..Term::default()
        });
        Self {
            terms: terms.collect(),
            rng,
            now: 1_795_000_000_000_000,
            last: Reply::default(),
        }
    }

    fn next(&mut self) -> Ask {
        let rng = &mut self.rng;
        self.now += (rng.f64().powi(6) * 2e7) as u64;
        if rng.u8(..) < 3 {
            // The clock is set back.
            self.now -= rng.u64(..10_000_000);
        }
        let heard = |rng: &mut Rng, last: &Reply, now: u64, place: usize| match rng.u8(..10) {
            0 => Stamp(rng.u64(..9_000_000_000_000_000)),
            1 => Stamp(now + rng.u64(..200_000_000)),
            2 => Stamp(0),
            _ => last.dues.get(place).copied().unwrap_or_default(),
        };
        let mut terms = self.terms.clone();
        for (place, term) in terms.iter_mut().enumerate() {
            if rng.u8(..) < 4 {
                term.max = 1 + term.max / 2;
            }
            term.heard = heard(rng, &self.last, self.now, place);
            if rng.u8(..10) == 0 {
                term.owed = rng.i64(-5_000..5_000);
            }
        }
        let lanes = (0..rng.u64(0..=3)).map(|lane| {
            let mut costs = Vec::new();
            for (place, _) in terms.iter().enumerate() {
                if rng.bool() {
                    // The limiter rejects a request that costs more.
                    let cost = 1 + (rng.f64().powi(4) * 3e3) as u64;
                    costs.push((place, cost.min(terms[place].max)));
                }
            }
            LaneAsk {
                name: Name(100 + lane),
                want: rng.u64(..60),
                returns: rng.u8(..4) == 0,
                costs,
            }
        });
        let lanes = lanes.collect();
        let pauses = (0..rng.u64(0..=1) * rng.u64(0..=1)).map(|_| Pause {
            lane: Name(100 + rng.u64(..3)),
            since: [Stamp(0), Stamp(self.now), Stamp(self.now - 1_000_000)][rng.usize(..3)],
            wait: Span::millis(rng.u64(..10_000)),
        });
        let pauses = pauses.collect();
        Ask {
            process: rng.u64(..6),
            leaves: rng.u8(..20) == 0,
            known: rng.u64(..10),
            memory: Span::secs(5),
            until: [Stamp(0), Stamp(self.now + 1_000), Stamp(self.now - 1)][rng.usize(..3)],
            lateness: Span::millis(15 + 5 * rng.u64(..3)),
            cycle: Span::millis(100),
            terms,
            pauses,
            lanes,
        }
    }
}

/// The script's reply at an instant of the test's.
fn ask_redis(connection: &mut Connection, key: &str, ask: &Ask, now: u64) -> Reply {
    let mut call = script::at(key, &[0; 32], ask);
    call.arg(now);
    let value = call.query::<redis::Value>(connection).unwrap();
    let numbers = Vec::<i64>::from_redis_value(value).unwrap();
    script::reply(&numbers, ask).unwrap_or_else(|| panic!("{numbers:?} replies to {ask:?}"))
}

#[test]
fn ten_thousand_random_calls_have_the_same_replies_from_redis_as_from_rust() {
    let Some(server) = Server::start() else {
        return;
    };
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    for _ in 0..200 {
        let seed = fastrand::u64(..);
        let (mut calls, mut ledger) = (Calls::new(seed), Ledger::default());
        for call in 0..50 {
            let ask = calls.next();
            let here = ledger.decide(&ask, Stamp(calls.now));
            let there = ask_redis(&mut connection, &seed.to_string(), &ask, calls.now);
            assert_eq!(
                there, here,
                "call {call} of seed {seed}: {ask:?}\n{ledger:?}"
            );
            calls.last = here;
        }
    }
}
