//! One trace of random calls has the same replies from the ledger in Rust and from the script in Redis.

use fastrand::Rng;
use redis::{Connection, FromRedisValue};
use testing::redis::Server;

use super::script;
use crate::{
    quota::shared::{
        Ask, Bound, Event, LaneAsk, Ledger, Name, Pace, Reply, Report, Stamp, Term, What,
    },
    words::{Each, Span, Unit, Weight},
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
            bound: Bound::Window {
                max: 1 + (rng.f64().powi(3) * 1e5) as u64,
                window: Span::nanos(rng.u64(1..=120_000) * 1_000_000),
            },
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
            if let (Bound::Window { max, .. }, 0..4) = (&mut term.bound, rng.u8(..)) {
                *max = 1 + *max / 2;
            }
            term.heard = heard(rng, &self.last, self.now, place);
            if rng.u8(..10) == 0 {
                term.owed = rng.i64(-5_000..5_000);
            }
        }
        let reports: Vec<_> = (0..rng.u64(0..=3))
            .map(|lane| report(rng, lane, self.now))
            .collect();
        for place in 0..reports.len() {
            for of in Unit::BOTH {
                if rng.u8(..4) == 0 {
                    terms.push(Term {
                        name: Name(1_000 + 2 * place as u64 + of.weight(Weight(0)).0),
                        bound: Bound::Pace { report: place, of },
                        lag: Span::millis(100),
                        heard: Stamp(self.now.saturating_sub(rng.u64(..1_000_000))),
                        owed: rng.i64(-5..5),
                    });
                }
            }
        }
        let mut lanes = Vec::new();
        for report in 0..reports.len() {
            let mut costs = Vec::new();
            for (place, term) in terms.iter().enumerate() {
                if rng.bool() {
                    // The limiter rejects a request that costs more.
                    let cost = 1 + (rng.f64().powi(4) * 3e3) as u64;
                    let most = match term.bound {
                        Bound::Window { max, .. } => max,
                        Bound::Pace { .. } => u64::MAX,
                    };
                    costs.push((place, cost.min(most)));
                }
            }
            if rng.u8(..4) > 0 {
                lanes.push(LaneAsk {
                    report,
                    want: rng.u64(..60),
                    returns: rng.u8(..4) == 0,
                    costs,
                });
            }
        }
        Ask {
            process: rng.u64(..6),
            leaves: rng.u8(..20) == 0,
            known: rng.u64(..10),
            memory: Span::secs(5),
            until: [Stamp(0), Stamp(self.now + 1_000), Stamp(self.now - 1)][rng.usize(..3)],
            lateness: Span::millis(15 + 5 * rng.u64(..3)),
            cycle: Span::millis(100),
            reports,
            terms,
            lanes,
        }
    }
}

/// A report on a lane, with a few events.
fn report(rng: &mut Rng, lane: u64, now: u64) -> Report {
    let whats = (0..5).filter_map(What::of_code);
    let whats: Vec<_> = whats.collect();
    let events = (0..rng.u64(0..=2) * rng.u64(0..=1)).map(|_| Event {
        what: whats[rng.usize(..whats.len())],
        of: Unit::BOTH[rng.usize(..2)],
        since: [Stamp(0), Stamp(now), Stamp(now - 1_000_000)][rng.usize(..3)],
        wait: Span::millis(rng.u64(..10_000)),
        at: Stamp(now - rng.u64(..1_000_000)),
        amount: rng.u64(..1_000_000),
    });
    let events = events.collect();
    let mut pace = || Pace {
        apart: rng.u64(..1_000_000_000_000),
        epoch: rng.u64(..5) * rng.u64(..5),
    };
    Report {
        lane: Name(100 + lane),
        paces: Each {
            requests: pace(),
            tokens: pace(),
        },
        learns: rng.bool(),
        requests: rng.u64(..50),
        tokens: rng.i64(-1_000..5_000),
        events,
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
