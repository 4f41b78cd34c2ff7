//! Random tables of limits over two endpoints and a few models.

use std::time::Duration;

use proptest::{option, prelude::*};
use tower_together::{Endpoint, Limits, Quota};

use crate::table::{Cap, EXEMPT, Lane, Line, Table};

impl Table {
    pub(crate) fn limits(&self) -> Limits {
        self.over(Limits::none())
    }

    /// Another table, but for the lines of this one that it keeps.
    pub(crate) fn followed_by(&self, other: &Self, keeps: &[bool]) -> Self {
        let kept = self.lines.iter().zip(keeps).filter(|(_, keep)| **keep);
        let mut lines: Vec<_> = kept.map(|(line, _)| line.clone()).collect();
        for line in &other.lines {
            if !lines.iter().any(|kept| kept.is_about(line)) {
                lines.push(line.clone());
            }
        }
        Self { lines }
    }
}

impl Cap {
    /// How much of a paced quota one that leaves late makes up for at most.
    pub(crate) fn made_up(self) -> u64 {
        let (Self::Requests(quota) | Self::Tokens(quota)) = self else {
            return 0;
        };
        let late = (quota.margin() / 4).min(Duration::from_millis(50));
        let paced = quota.max() - quota.burst() + 1;
        let interval = (quota.per() + quota.margin()).as_nanos() / u128::from(paced);
        u64::try_from(late.as_nanos() / interval).unwrap() + 1
    }
}

/// Quotas of a few requests a second, with and without bursts, margins and pacing.
pub(crate) fn requests() -> impl Strategy<Value = Quota> {
    quota(1..=12)
}

/// Tables of up to ten lines over two endpoints and a model that has limits of its own.
pub(crate) fn tables() -> impl Strategy<Value = Table> {
    let both = vec![CHAT, EMBEDDINGS];
    (
        line(vec![CHAT], None, requests().prop_map(Cap::Requests)),
        line(vec![EMBEDDINGS], None, requests().prop_map(Cap::Requests)),
        line(both.clone(), None, requests().prop_map(Cap::Requests)),
        line(vec![CHAT], None, tokens().prop_map(Cap::Tokens)),
        line(both.clone(), None, tokens().prop_map(Cap::Tokens)),
        line(vec![CHAT], None, (1..=3u32).prop_map(Cap::InFlight)),
        line(vec![EMBEDDINGS], None, (1..=3u32).prop_map(Cap::InFlight)),
        line(vec![CHAT], SLOW, requests().prop_map(Cap::Requests)),
        line(both, SLOW, requests().prop_map(Cap::Requests)),
        line(vec![CHAT], SLOW, (1..=2u32).prop_map(Cap::InFlight)),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| Table {
            lines: [a, b, c, d, e, f, g, h, i, j]
                .into_iter()
                .flatten()
                .collect(),
        })
}

pub(crate) fn lanes() -> impl Strategy<Value = Lane> {
    let endpoint = prop_oneof![Just(CHAT), Just(EMBEDDINGS)];
    (endpoint, prop::sample::select(&MODELS[..]))
}

fn line(
    endpoints: Vec<Endpoint>,
    model: Option<&'static str>,
    cap: impl Strategy<Value = Cap>,
) -> impl Strategy<Value = Option<Line>> {
    option::of(cap.prop_map(move |cap| Line {
        endpoints: endpoints.clone(),
        model,
        cap,
    }))
}

fn tokens() -> impl Strategy<Value = Quota> {
    quota(20..=200)
}

fn quota(max: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Quota> {
    let burst = prop_oneof![2 => Just(0.0), 1 => 0.0..=1.0];
    let margin =
        prop_oneof![2 => Just(None), 1 => Just(Some(0.0)), 1 => (0.0..=0.5).prop_map(Some)];
    let unpaced = prop::bool::weighted(0.25);
    (max, 100..=5_000u64, burst, margin, unpaced).prop_map(|(max, per, burst, margin, unpaced)| {
        let per = Duration::from_millis(per);
        let burst = 1 + ((max - 1) as f64 * burst) as u64;
        let mut quota = Quota::new(max, per).unwrap().with_burst(burst).unwrap();
        if let Some(margin) = margin {
            quota = quota.with_margin(per.mul_f64(margin)).unwrap();
        }
        if unpaced { quota.unpaced() } else { quota }
    })
}

pub(crate) const CHAT: Endpoint = Endpoint::ChatCompletions;
pub(crate) const EMBEDDINGS: Endpoint = Endpoint::Embeddings;
pub(crate) const SLOW: Option<&str> = Some("slow");
/// The models that requests name; one has limits of its own, one has none.
pub(crate) const MODELS: [Option<&str>; 4] = [None, SLOW, Some("other"), Some(EXEMPT)];
