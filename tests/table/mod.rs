//! Tables of limits as the documentation describes them, apart from the crate's own code.

use std::num::NonZeroU32;

use tower_together::{Endpoint, Limits, Quota};

/// An endpoint and a model.
pub(crate) type Lane = (Endpoint, Option<&'static str>);

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) model: Option<&'static str>,
    pub(crate) cap: Cap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cap {
    Requests(Quota),
    Tokens(Quota),
    InFlight(u32),
}

impl Table {
    /// The lines, in place of the same ones of `limits`.
    pub(crate) fn over(&self, limits: Limits) -> Limits {
        let limits = limits.exempt(EXEMPT);
        self.lines.iter().fold(limits, |limits, line| {
            let own = if line.model.is_some() {
                Limits::none()
            } else {
                limits.clone()
            };
            let own = match (line.cap, &line.endpoints[..]) {
                (Cap::Requests(quota), [endpoint]) => own.requests(*endpoint, quota),
                (Cap::Tokens(quota), [endpoint]) => own.tokens(*endpoint, quota),
                (Cap::Requests(quota), all) => own.shared(all.iter().copied(), quota),
                (Cap::Tokens(quota), all) => own.shared_tokens(all.iter().copied(), quota),
                (Cap::InFlight(max), all) => own.in_flight(all[0], NonZeroU32::new(max).unwrap()),
            };
            match line.model {
                Some(model) => limits.for_model(model, own),
                None => own,
            }
        })
    }

    /// The lines that a lane is under: all that name its endpoint, a model's own instead of what
    /// they replace.
    pub(crate) fn of(&self, (endpoint, model): Lane) -> Vec<&Line> {
        if model == Some(EXEMPT) {
            return Vec::new();
        }
        let holds = |line: &&Line| {
            line.endpoints.contains(&endpoint)
                && match line.model {
                    Some(_) => line.model == model,
                    None => !self.lines.iter().any(|other| {
                        other.model.is_some() && other.model == model && other.replaces(line)
                    }),
                }
        };
        self.lines.iter().filter(holds).collect()
    }

    /// The number in force for what `line` limits.
    pub(crate) fn cap_of(&self, line: &Line) -> Option<Cap> {
        let mut same = self.lines.iter().filter(|other| other.is_about(line));
        same.next().map(|line| line.cap)
    }
}

impl Line {
    pub(crate) fn is_about(&self, other: &Self) -> bool {
        self.model == other.model && self.replaces(other)
    }

    fn replaces(&self, other: &Self) -> bool {
        self.endpoints == other.endpoints
            && std::mem::discriminant(&self.cap) == std::mem::discriminant(&other.cap)
    }
}

impl Cap {
    /// What one request costs.
    pub(crate) fn cost(self, tokens: u64) -> u64 {
        match self {
            Self::Requests(_) | Self::InFlight(_) => 1,
            Self::Tokens(_) => tokens,
        }
    }
}

/// The model that no table limits.
pub(crate) const EXEMPT: &str = "exempt";
