//! Up to a million waiting requests on a thousand lanes.

use std::time::Duration;

use allocation_counter::measure;
use testing::{now, virtual_time};
use tokio::time::sleep;
use tower_together::{Limiter, Limits, Quota, extension::ApiKey};

use super::{CHAT, by_hand::Waiting, chat};

#[test]
fn ten_thousand_on_a_hundred_lanes_cost_under_512_bytes_each_and_leave_in_order_in_three_polls() {
    waiting(10_000, 10, 10);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_million_on_a_thousand_lanes_cost_under_512_bytes_each_and_leave_in_order_in_three_polls() {
    waiting(1_000_000, 1_000, 1);
    waiting(1_000_000, 50, 20);
}

/// Each key sends a request a millisecond, of its lanes in turn.
fn waiting(requests: usize, keys: usize, models: usize) {
    virtual_time().block_on(async {
        let quota = Quota::per_minute(60_000).unwrap();
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
        let limiter = limiter.with_max_waiting(usize::MAX);
        let lane_of = |number: usize| (number % keys, number / keys % models);
        let mut waiting = Waiting::default();
        for number in 0..requests {
            let (key, model) = lane_of(number);
            let call = chat().with_key(ApiKey::new(&key.to_string()));
            waiting.add(&limiter, call.with_model(model.to_string()));
        }
        let start = now();
        let mut left = Left::new(requests, keys, models);
        let used = measure(|| waiting.poll_all(|number, polls| left.note(number, lane_of, polls)));
        assert_eq!(left.requests, keys, "the first of each key need not wait");
        let each = used.bytes_current / requests as i64;
        assert!((1..512).contains(&each), "{each} bytes");
        let mut steps = 0;
        while left.requests < requests {
            sleep(Duration::from_millis(1)).await;
            waiting.poll_woken(|number, polls| left.note(number, lane_of, polls));
            steps += 1;
            assert!(steps <= requests, "somebody is never woken");
        }
        let ideal = Duration::from_nanos(1_003_333).mul_f64((requests / keys - 1) as f64);
        let late = start.elapsed().checked_sub(ideal).expect("not early");
        assert!(late < Duration::from_millis(5), "{late:?} late");
        assert_eq!(limiter.snapshot().waiting, 0);
    });
}

/// The requests that have left.
struct Left {
    requests: usize,
    /// Those of each lane.
    lanes: Vec<Vec<usize>>,
    keys: usize,
    models: usize,
}

impl Left {
    fn new(requests: usize, keys: usize, models: usize) -> Self {
        let each = requests / keys / models;
        Self {
            requests: 0,
            lanes: (0..keys * models)
                .map(|_| Vec::with_capacity(each))
                .collect(),
            keys,
            models,
        }
    }

    /// Requests of a lane leave in the order in which they came, and those of a key from each lane in turn.
    fn note(&mut self, number: usize, lane_of: impl Fn(usize) -> (usize, usize), polls: u32) {
        assert!(polls <= 3, "{polls} polls");
        let (key, model) = lane_of(number);
        let lane = &mut self.lanes[key * self.models + model];
        let before = lane.len() * self.keys * self.models;
        assert_eq!(number, before + model * self.keys + key, "in order");
        lane.push(number);
        let lane = lane.len();
        let of_key = &self.lanes[key * self.models..][..self.models];
        let fewest = of_key.iter().map(Vec::len).min().unwrap();
        assert!(lane <= fewest + 1, "a lane leaves before its turn");
        self.requests += 1;
    }
}
