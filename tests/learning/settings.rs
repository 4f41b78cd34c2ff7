//! The servers and clients of the tables.

use crate::{
    counter::Kind,
    limit::Moves,
    network::Says,
    run::{Client, Setting},
    server::{Rules, Tenant},
};

/// One client, before one server whose limit moves.
pub(crate) fn alone(client: Client, kind: Kind, moves: Moves, says: Says) -> Setting {
    Setting {
        servers: vec![rules(kind, moves)],
        says,
        delay: NEAR,
        clients: vec![client],
        seconds: 720,
        counted_from: 0,
    }
}

/// Ten minutes before one that allows 600 a minute.
pub(crate) fn steady(client: Client, kind: Kind, says: Says) -> Setting {
    Setting {
        seconds: 600,
        ..alone(client, kind, STEADY, says)
    }
}

pub(crate) fn rules(kind: Kind, moves: Moves) -> Rules {
    Rules {
        kind,
        moves,
        counts_refused: false,
        tenant: Tenant::None,
    }
}

/// With headers, and without.
pub(crate) const TOLD: [Says; 2] = [Says::Limits, Says::Wait];
pub(crate) const MOVING: Moves = Moves::Plan(&[(0, 600.0), (240, 300.0), (480, 1_200.0)]);
pub(crate) const STEADY: Moves = Moves::Plan(&[(0, 600.0)]);
pub(crate) const COLLAPSING: Moves = Moves::Plan(&[(0, 600.0), (100, 30.0)]);
pub(crate) const EARNED: Moves = Moves::Earned;
/// Milliseconds.
const NEAR: (u64, u64) = (10, 90);
