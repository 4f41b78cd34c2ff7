//! A day in which keys come and go.

use std::time::Duration;

use allocation_counter::measure;
use fastrand::Rng;
use testing::virtual_time;
use tokio::time::{sleep, timeout};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    extension::ApiKey,
    limiter::{Call, Permit},
};

const KEYS: usize = 200;
const JOBS: usize = 20;

/// Everything happens to a key in its time, and nothing of it stays.
#[test]
fn after_a_day_in_which_keys_come_and_go_the_tables_are_as_large_as_after_some_hours() {
    let runtime = virtual_time();
    let mut day = Day::new();
    let hours = (0..24).map(|hour| {
        let used = measure(|| runtime.block_on(day.hour(hour)));
        used.bytes_current
    });
    let hours: Vec<i64> = hours.collect();
    // The table of keys fills, and what was learned is remembered for an hour.
    let later: i64 = hours[6..].iter().sum();
    assert!(later.abs() < 128 << 10, "{hours:?} bytes");
}

struct Day {
    limiter: Limiter,
    random: Rng,
    jobs: Vec<String>,
    jobs_so_far: u32,
    rejected: u32,
}

impl Day {
    fn new() -> Self {
        let chat = Quota::per_minute(600).unwrap();
        let tokens = Quota::per_minute(60_000).unwrap();
        let limits = Limits::default()
            .requests(Endpoint::ChatCompletions, chat.unpaced())
            .tokens(Endpoint::Embeddings, tokens)
            .in_flight(Endpoint::ChatCompletions, 3.try_into().unwrap())
            .jobs(Endpoint::FineTuneCreate, 5.try_into().unwrap());
        Self {
            limiter: Limiter::new(limits).with_max_keys(KEYS),
            random: Rng::with_seed(1),
            jobs: Vec::with_capacity(JOBS),
            jobs_so_far: 0,
            rejected: 0,
        }
    }

    async fn hour(&mut self, hour: u32) {
        let before = (self.limiter.snapshot().admitted, self.rejected);
        for second in 0..3_600 {
            let requests = self.random.u8(..4);
            for _ in 0..requests {
                self.request(hour * 3_600 + second).await;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let snapshot = self.limiter.snapshot();
        assert!(snapshot.keys <= KEYS + KEYS / 64, "{} keys", snapshot.keys);
        assert_eq!(
            (snapshot.waiting, snapshot.jobs.len()),
            (0, self.jobs.len())
        );
        let admitted = snapshot.admitted - before.0;
        let rejected = self.rejected - before.1;
        assert!(
            admitted > 4_000 && rejected < 500,
            "{admitted} and {rejected}"
        );
    }

    /// A request of one of the keys of these minutes.
    async fn request(&mut self, second: u32) {
        let key = second / 4 + self.random.u32(..60);
        let endpoints = [
            Endpoint::ChatCompletions,
            Endpoint::Embeddings,
            Endpoint::FineTuneCreate,
        ];
        let endpoint = endpoints[self.random.usize(..3)];
        let call = Call::new(endpoint)
            .with_key(ApiKey::new(&key.to_string()))
            .with_model(format!("m{}", self.random.u8(..8)))
            .with_tokens(self.random.u64(..500));
        let patience = Duration::from_millis(self.random.u64(..2_000));
        match timeout(patience, self.limiter.acquire(call)).await {
            Ok(Ok(permit)) => self.respond(permit, endpoint),
            Ok(Err(_)) => self.rejected += 1,
            Err(_) => {}
        }
    }

    fn respond(&mut self, mut permit: Permit, endpoint: Endpoint) {
        match self.random.u8(..20) {
            0 => drop(permit.throttled(None)),
            1 => drop(permit.throttled(Some(Duration::from_secs(self.random.u64(..90))))),
            2 => drop(permit.overloaded(Duration::from_secs(1))),
            3 => permit.failed(),
            4 => permit.told(self.random.f64() * 20.0),
            5 => permit.settle(self.random.u64(..1_000)),
            _ => {}
        }
        if endpoint == Endpoint::FineTuneCreate {
            self.jobs_so_far += 1;
            let job = format!("ft-{}", self.jobs_so_far);
            permit.hold_for_job(&job);
            self.jobs.push(job);
            if self.jobs.len() >= JOBS || self.random.bool() {
                let job = self.jobs.swap_remove(self.random.usize(..self.jobs.len()));
                assert!(self.limiter.job_ended(&job));
            }
        }
    }
}
