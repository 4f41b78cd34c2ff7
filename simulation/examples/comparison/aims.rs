//! The aims of this crate, beside the best neighbour that is given as much: at most 2 points less use, and no more
//! 429s. The best neighbour has the most use among those that fail no call and get at most 1 % 429s.

use crate::{
    all_runs::Row,
    clients::{Kind, Setup},
    figures::Figures,
};

/// The aim with one server.
pub(crate) struct Aim<'a> {
    pub(crate) server: &'a str,
    /// Whether the number is written.
    pub(crate) given: bool,
    pub(crate) own: &'a Figures,
    /// The best neighbour, if one is good enough to be compared with.
    pub(crate) best: Option<(&'static Setup, &'a Figures)>,
}

impl<'a> Aim<'a> {
    pub(crate) fn all(rows: &'a [Row]) -> Vec<Self> {
        let both = |row| [false, true].map(|given| Self::of(row, given));
        rows.iter().flat_map(both).collect()
    }

    fn of(row: &'a Row, given: bool) -> Self {
        let of_kind = |kind| {
            row.clients
                .iter()
                .filter(move |(setup, _)| setup.kind == kind)
        };
        let best = of_kind(Kind::Neighbour { given }).filter(|(_, figures)| figures.is_clean());
        let best =
            best.max_by(|(_, one), (_, other)| one.use_or_haste().total_cmp(&other.use_or_haste()));
        let own = of_kind(Kind::Own { given }).next();
        Self {
            server: row.server.name,
            given,
            own: own
                .map(|(_, figures)| figures)
                .expect("it runs with each server"),
            best: best.map(|(setup, figures)| (*setup, figures)),
        }
    }

    pub(crate) fn is_met(&self) -> bool {
        self.best.is_none_or(|(_, best)| {
            let own = self.own;
            own.use_or_haste() >= best.use_or_haste() - 2.0
                && own.rejected <= best.rejected
                && own.failed == 0.0
        })
    }

    /// The reason for which it is not met, if that is known.
    pub(crate) fn exception(&self) -> Option<&'static str> {
        let found = EXCEPTIONS
            .iter()
            .find(|(server, given, _)| (*server, *given) == (self.server, self.given));
        found.map(|(_, _, reason)| *reason)
    }
}

/// The aims that are not met: the server, whether the number is written, and the reason.
const EXCEPTIONS: [(&str, bool, &str); 5] = [
    ("fixed-minute", true, PACED),
    ("seconds", true, SECONDS),
    (
        "bursts-minute",
        false,
        "paced until its lane has learned more",
    ),
    ("bursts-minute", true, PACED),
    ("3000-seconds", true, SECONDS),
];
const PACED: &str = "paced: `unpaced` helps";
const SECONDS: &str = "jitter moves requests into the next second: `unpaced` seconds help";
