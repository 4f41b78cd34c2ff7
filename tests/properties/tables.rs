//! Random tables of limits over two endpoints and a few models.

use std::time::Duration;

use proptest::{option, prelude::*};
use testing::table::{Cap, EXEMPT, Lane, Line, Table};
use tower_together::{Endpoint, Quota};

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
