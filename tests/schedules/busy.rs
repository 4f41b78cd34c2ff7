//! Lanes that are always busy, beneath which is a server that rejects nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use testing::{
    table::{Cap, Lane, Table},
    virtual_time,
};
use tokio::{task::JoinSet, time::sleep};
use tower::{BoxError, Layer, ServiceExt, buffer::Buffer, util::BoxCloneService};
use tower_together::{
    Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::{Cost, Model},
};

use crate::{
    schedule::{ms, path},
    second_poll::SecondPoll,
};

#[derive(Clone, Debug)]
pub(crate) struct Busy {
    pub(crate) table: Table,
    pub(crate) lanes: Vec<BusyLane>,
    pub(crate) second_poll: bool,
    pub(crate) buffered: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct BusyLane {
    pub(crate) lane: Lane,
    /// The tokens that each request costs.
    pub(crate) cost: u64,
    /// How long each response takes, in milliseconds.
    pub(crate) takes: u64,
}

impl Busy {
    /// Twenty windows of the longest quota.
    pub(crate) fn time(&self) -> Duration {
        let quotas = self.table.lines.iter().filter_map(|line| match line.cap {
            Cap::Requests(quota) | Cap::Tokens(quota) => Some(quota.per()),
            Cap::InFlight(_) => None,
        });
        20 * quotas.max().expect("each lane is under one")
    }

    /// The number of requests that each lane sends in that time.
    pub(crate) fn sent(&self) -> Vec<u64> {
        virtual_time().block_on(async {
            let counts: Arc<[AtomicU64]> = self.lanes.iter().map(|_| AtomicU64::new(0)).collect();
            let limits = self.table.over(Limits::none());
            let limiter = Limiter::new(limits).adaptive(false);
            let inner = self.service(&counts);
            let service = TogetherRateLimitLayer::from(limiter).layer(inner);
            let mut tasks = JoinSet::new();
            for (n, lane) in self.lanes.iter().cloned().enumerate() {
                for _ in 0..3 + self.under_way(n) {
                    let (service, lane) = (service.clone(), lane.clone());
                    tasks.spawn(async move {
                        loop {
                            let response = service.clone().oneshot(lane.request(n)).await;
                            assert!(response.unwrap().status().is_success());
                        }
                    });
                }
            }
            sleep(self.time()).await;
            tasks.shutdown().await;
            counts.iter().map(|count| count.load(Relaxed)).collect()
        })
    }

    /// The most requests of a lane that can be in flight at once.
    fn under_way(&self, n: usize) -> u64 {
        let BusyLane { lane, takes, cost } = self.lanes[n];
        let most = |quota: Quota, cost| {
            let at_once = if quota == quota.unpaced() {
                quota.max()
            } else {
                quota.burst()
            };
            (at_once + quota.max() * takes / millis(quota.per())) / cost + 1
        };
        let lines = self.table.of(lane).into_iter().map(|line| match line.cap {
            Cap::Requests(quota) => most(quota, 1),
            Cap::Tokens(quota) => most(quota, cost),
            Cap::InFlight(max) => max.into(),
        });
        if takes == 0 {
            0
        } else {
            lines.min().unwrap_or(0)
        }
    }

    fn service(&self, counts: &Arc<[AtomicU64]>) -> Inner {
        let (counts, lanes) = (Arc::clone(counts), self.lanes.clone());
        let inner = tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let Number(n) = *request.extensions().get().expect("each has one");
            counts[n].fetch_add(1, Relaxed);
            let takes = lanes[n].takes;
            async move {
                if takes > 0 {
                    sleep(ms(takes)).await;
                }
                Ok::<_, BoxError>(Response::<Empty<Bytes>>::default())
            }
        });
        match (self.second_poll, self.buffered) {
            (true, _) => SecondPoll::new(inner).boxed_clone(),
            (_, true) => Buffer::new(inner, 1).boxed_clone(),
            _ => inner.boxed_clone(),
        }
    }
}

type Inner = BoxCloneService<Request<Empty<Bytes>>, Response<Empty<Bytes>>, BoxError>;

#[derive(Clone, Copy)]
struct Number(usize);

impl BusyLane {
    fn request(&self, n: usize) -> Request<Empty<Bytes>> {
        let (endpoint, model) = self.lane;
        let mut request = Request::post(format!("https://api.together.ai{}", path(endpoint)))
            .extension(Number(n))
            .extension(Cost::of_tokens(self.cost));
        if let Some(model) = model {
            request = request.extension(Model::new(model));
        }
        request.body(Empty::new()).expect("all of it is valid")
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a few minutes")
}
