//! The time that calls waited for their turn, as a histogram of each lane.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tower_together::{Endpoint, limiter::LaneSnapshot};

/// Histograms by endpoint and model. Models beyond the first [`MOST`] share one without a name.
#[derive(Default)]
pub(crate) struct Waits(HashMap<(Endpoint, Option<Arc<str>>), Histogram>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    pub(crate) sum: f64,
    pub(crate) count: u64,
    /// Counts for each bound of [`BOUNDS`]: waits up to it and above the bound before it.
    buckets: [u64; BOUNDS.len()],
}

impl Waits {
    pub(crate) fn add(&mut self, endpoint: Endpoint, model: Option<Arc<str>>, waited: Duration) {
        let lane = (endpoint, model);
        let lane = match self.0.len() < MOST || self.0.contains_key(&lane) {
            true => lane,
            false => (endpoint, None),
        };
        self.0.entry(lane).or_default().add(waited.as_secs_f64());
    }

    /// The histogram of each of `lanes`. The lane of all further models has the shared one.
    pub(crate) fn of(&self, lanes: &[LaneSnapshot]) -> Vec<Histogram> {
        let place = |endpoint: Endpoint, model: &Option<Arc<str>>| {
            let own = |lane: &&LaneSnapshot| {
                lane.endpoint == endpoint && !lane.overflow && lane.model == *model
            };
            let rest = |lane: &LaneSnapshot| lane.endpoint == endpoint && lane.overflow;
            let own = lanes.iter().position(|lane| own(&lane));
            own.or_else(|| lanes.iter().position(rest))
        };
        let mut all = vec![Histogram::default(); lanes.len()];
        for ((endpoint, model), waits) in &self.0 {
            if let Some(place) = place(*endpoint, model) {
                all[place].merge(waits);
            }
        }
        all
    }
}

impl Histogram {
    fn add(&mut self, seconds: f64) {
        self.sum += seconds;
        self.count += 1;
        if let Some(place) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[place] += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
    }

    /// The bound and the count of each bucket; the last bucket has no bound.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let beyond = self.count - self.buckets.iter().sum::<u64>();
        let bounded = BOUNDS.into_iter().zip(self.buckets);
        bounded.chain([(f64::INFINITY, beyond)]).collect()
    }
}

/// Seconds, from a wait that is not noticeable to the longest that SDKs allow.
const BOUNDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
const MOST: usize = 512;
