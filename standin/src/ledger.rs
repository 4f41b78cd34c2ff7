//! A record of all requests: their times and results.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::route::Route;

/// The requests since the start, or since the last reset.
///
/// `arrived` is the sum of the other three. A request counts by the status of its
/// response, also if the response was scripted or cut. A request that was reset, and so got no response,
/// is among the errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// All requests.
    pub arrived: u64,
    /// Requests whose response had a status below 400.
    pub accepted: u64,
    /// Requests rejected with a 429.
    pub refused: u64,
    /// Requests that got another error, or no response.
    pub errors: u64,
    /// The same for each route that was used.
    pub routes: BTreeMap<Route, Counts>,
    /// The same for each method and path of [`Route::Other`], such as `POST /batches`; without
    /// the version.
    pub others: BTreeMap<String, Counts>,
    /// When the first request arrived, since the server's start.
    pub first_arrival: Option<Duration>,
    /// When the last request arrived, since the server's start.
    pub last_arrival: Option<Duration>,
}

/// The requests of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All requests.
    pub arrived: u64,
    /// Requests whose response had a status below 400.
    pub accepted: u64,
    /// Requests rejected with a 429.
    pub refused: u64,
    /// Requests that got another error, or no response.
    pub errors: u64,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// When its body was complete, since the server's start; of one that got its response
    /// [early](crate::Answer::early), when its head was.
    pub at: Duration,
    /// Its route.
    pub route: Route,
    /// Whether its response had a status below 400.
    pub accepted: bool,
}

impl Counts {
    fn add(&mut self, status: Option<StatusCode>) {
        self.arrived += 1;
        *match status {
            Some(StatusCode::TOO_MANY_REQUESTS) => &mut self.refused,
            _ if accepted(status) => &mut self.accepted,
            _ => &mut self.errors,
        } += 1;
    }

    fn json(self) -> Value {
        json!({
            "arrived": self.arrived,
            "accepted": self.accepted,
            "refused": self.refused,
            "errors": self.errors,
        })
    }
}

impl Stats {
    pub(crate) fn json(&self) -> Value {
        let routes = self.routes.iter();
        let routes: Map<_, _> = routes
            .map(|(route, counts)| (route.name().to_owned(), counts.json()))
            .collect();
        let others = self.others.iter();
        let others: Map<_, _> = others
            .map(|(name, counts)| (name.clone(), counts.json()))
            .collect();
        json!({
            "arrived": self.arrived,
            "accepted": self.accepted,
            "refused": self.refused,
            "errors": self.errors,
            "first_arrival_s": self.first_arrival.map(|at| at.as_secs_f64()),
            "last_arrival_s": self.last_arrival.map(|at| at.as_secs_f64()),
            "routes": routes,
            "others": others,
        })
    }
}

/// Keeps the numbers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stats: Stats,
    arrivals: Vec<Arrival>,
}

impl Ledger {
    /// Notes a request; `name` is its method and path, and it has a status if it gets a response.
    pub(crate) fn note(
        &mut self,
        at: Duration,
        route: Route,
        name: String,
        status: Option<StatusCode>,
    ) {
        let stats = &mut self.stats;
        stats.first_arrival.get_or_insert(at);
        stats.last_arrival = Some(at);
        stats.routes.entry(route).or_default().add(status);
        if route == Route::Other {
            stats.others.entry(name).or_default().add(status);
        }
        if self.arrivals.len() < MAX_ARRIVALS {
            self.arrivals.push(Arrival {
                at,
                route,
                accepted: accepted(status),
            });
        }
    }

    /// The numbers, with their sums over the routes.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        for counts in self.stats.routes.values() {
            stats.arrived += counts.arrived;
            stats.accepted += counts.accepted;
            stats.refused += counts.refused;
            stats.errors += counts.errors;
        }
        stats
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.clone()
    }
}

/// Arrivals as a JSON array; a million of them are too many to build as values first.
pub(crate) fn arrivals_json(arrivals: &[Arrival]) -> String {
    let entry = |arrival: &Arrival| {
        format!(
            r#"{{"at":{},"route":"{}","accepted":{}}}"#,
            arrival.at.as_micros(),
            arrival.route.name(),
            arrival.accepted
        )
    };
    format!(
        "[{}]",
        arrivals.iter().map(entry).collect::<Vec<_>>().join(",")
    )
}

fn accepted(status: Option<StatusCode>) -> bool {
    status.is_some_and(|status| status.as_u16() < 400)
}

/// About 32 MB of memory; the counts go on when the list is full.
const MAX_ARRIVALS: usize = 1_000_000;
