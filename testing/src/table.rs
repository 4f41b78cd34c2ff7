//! Tables of limits as the documentation describes them, apart from the crate's own code.

use std::{num::NonZeroU32, time::Duration};

use tower_together::{Endpoint, Limits, Quota};

/// An endpoint and a model.
pub type Lane = (Endpoint, Option<&'static str>);

#[derive(Clone, Debug)]
pub struct Table {
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub endpoints: Vec<Endpoint>,
    pub model: Option<&'static str>,
    pub cap: Cap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cap {
    Requests(Quota),
    Tokens(Quota),
    InFlight(u32),
}

impl Table {
    pub fn limits(&self) -> Limits {
        self.over(Limits::none())
    }

    /// The table `other`, with those lines of this one that `keeps` marks.
    pub fn followed_by(&self, other: &Self, keeps: &[bool]) -> Self {
        let kept = self.lines.iter().zip(keeps).filter(|(_, keep)| **keep);
        let mut lines: Vec<_> = kept.map(|(line, _)| line.clone()).collect();
        for line in &other.lines {
            if !lines.iter().any(|kept| kept.is_about(line)) {
                lines.push(line.clone());
            }
        }
        Self { lines }
    }

    /// Sets these lines in `limits`, replacing equal ones.
    pub fn over(&self, limits: Limits) -> Limits {
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

    /// The lines that apply to a lane: all that name its endpoint, with a model's own lines instead of those they
    /// replace.
    pub fn of(&self, (endpoint, model): Lane) -> Vec<&Line> {
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

    /// The cap in force for the limit of `line`.
    pub fn cap_of(&self, line: &Line) -> Option<Cap> {
        let mut same = self.lines.iter().filter(|other| other.is_about(line));
        same.next().map(|line| line.cap)
    }
}

impl Line {
    pub fn is_about(&self, other: &Self) -> bool {
        self.model == other.model && self.replaces(other)
    }

    fn replaces(&self, other: &Self) -> bool {
        self.endpoints == other.endpoints
            && std::mem::discriminant(&self.cap) == std::mem::discriminant(&other.cap)
    }
}

impl Cap {
    /// The most of a paced quota that a late request makes up for.
    pub fn made_up(self) -> u64 {
        let (Self::Requests(quota) | Self::Tokens(quota)) = self else {
            return 0;
        };
        let late = (quota.margin() / 4).min(Duration::from_millis(50));
        let paced = quota.max() - quota.burst() + 1;
        let interval = (quota.per() + quota.margin()).as_nanos() / u128::from(paced);
        u64::try_from(late.as_nanos() / interval).unwrap() + 1
    }

    /// The cost of one request.
    pub fn cost(self, tokens: u64) -> u64 {
        match self {
            Self::Requests(_) | Self::InFlight(_) => 1,
            Self::Tokens(_) => tokens,
        }
    }
}

/// The model that no table limits.
pub const EXEMPT: &str = "exempt";
