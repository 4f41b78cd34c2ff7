//! The engine in virtual time.

mod decisions;
mod moving;
mod moving_reference;
mod reference;
mod tokens;

use super::{Decision, Engine};
use crate::route::Route;

impl Engine {
    /// Decides on a request of one token. `now` must not go backwards from call to call.
    fn decide(&mut self, key: &str, model: &str, route: Route, now: u64) -> Decision {
        let charge = self.charge(key, model, route, 1, now);
        self.decide_on(&charge)
    }
}
