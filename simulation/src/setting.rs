//! Settings of simulations: servers, the network and its clients.

use crate::{
    counter::Kind,
    limit::Moves,
    server::{Fails, Rules, Says, Shares, Tenant},
};

/// A simulation's setting.
#[derive(Clone, Debug)]
pub struct Setting<C> {
    /// The rules of each model's server.
    pub servers: Vec<Rules>,
    pub says: Says,
    /// Bodies of 429s; each 429 gets a random one.
    pub errors: &'static [&'static str],
    /// The shortest and the longest one-way delay, in milliseconds.
    pub delay: (u64, u64),
    /// The shortest and the longest time that the server needs for a response, in milliseconds.
    pub thinks: (u64, u64),
    /// The clients, each with as much work for every model as its limits allow.
    pub clients: Vec<C>,
    pub seconds: u64,
    /// The second from which requests used and rejected are counted.
    pub counted_from: u64,
}

/// One client, with one server whose limit moves.
pub fn alone<C>(client: C, kind: Kind, moves: Moves, says: Says) -> Setting<C> {
    Setting {
        servers: vec![rules(kind, moves)],
        says,
        errors: &ERRORS,
        delay: NEAR,
        thinks: THINKS,
        clients: vec![client],
        seconds: 720,
        counted_from: 0,
    }
}

/// Ten minutes with a server that allows 600 a minute.
pub fn steady<C>(client: C, kind: Kind, says: Says) -> Setting<C> {
    Setting {
        seconds: 600,
        ..alone(client, kind, STEADY, says)
    }
}

pub fn rules(kind: Kind, moves: Moves) -> Rules {
    Rules {
        kind,
        moves,
        tokens: None,
        counts_rejected: false,
        tenant: Tenant::None,
        out: None,
        fails: Fails {
            busy: 0.0,
            reset: 0.0,
        },
    }
}

/// All headers, and none but the wait.
pub const TOLD: [Says; 2] = [Says::Limits, Says::Wait];
pub const MOVING: Moves = Moves::Plan(&[(0, 600.0), (240, 300.0), (480, 1_200.0)]);
pub const STEADY: Moves = Moves::Plan(&[(0, 600.0)]);
pub const COLLAPSING: Moves = Moves::Plan(&[(0, 600.0), (100, 30.0)]);
pub const EARNED: Moves = Moves::Earned;
/// A tenant that takes 40 % for a while.
pub const TWO_FIFTHS: Shares = &[(0, 0.0), (200, 0.4), (400, 0.0)];
/// One-way delays, in milliseconds.
const NEAR: (u64, u64) = (10, 90);
/// The server's time for a response, in milliseconds.
const THINKS: (u64, u64) = (500, 3_500);
/// Bodies in which the API was observed to name the cause of a 429. None names the limit.
const ERRORS: [&str; 3] = [
    r#"{"error":{"message":"Too many requests.","type":"dynamic_request_limited","param":null,"code":null}}"#,
    r#"{"error":{"message":"Too many requests.","type":null,"param":null,"code":null},"error_type":"dynamic_request_limited"}"#,
    r#"{"error":{"message":"Too many requests.","param":null,"code":"dynamic_request_limited"}}"#,
];
