//! `GET /lanes`: the page's data, as JSON.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{body::Body, extract::State};
use http::{
    HeaderValue, Response, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;
use tokio::time::Instant;
use tower_together::limiter::{LaneSnapshot, LimitSnapshot};

use crate::{
    gateway::Gateway,
    history::{
        History, Recent, Series, mean,
        windows::{self, measure},
    },
    monitor::{outage::Failing, programs::ProgramCounts, traffic::OpenCounts},
};

#[derive(Serialize)]
struct LanesReport<'a> {
    /// The API that calls are sent to.
    upstream: &'a str,
    /// Identifies this run: in another run all counts start again.
    run: u32,
    /// Whether programs have to send a token.
    tokens: bool,
    /// Points taken so far, one a second. `/lanes?since=TICK` leaves out the points up to `TICK`.
    tick: u64,
    open: OpenCounts,
    waiting: usize,
    admitted: u64,
    refused: u64,
    throttled: u64,
    /// Calls with an unknown token.
    unknown_tokens: u64,
    /// Since when the API has not responded, and with which error; null while it responds.
    outage: Option<Failing>,
    /// The processes that share the key through Redis; null if it is not shared.
    sharing: Option<Sharing>,
    /// The last five minutes.
    recent: Recent,
    programs: BTreeMap<String, ProgramCounts>,
    shared: Vec<SharedLimit>,
    lanes: Vec<Lane<'a>>,
}

#[derive(Serialize)]
struct Sharing {
    processes: u64,
    /// For how many seconds Redis has not replied, and why; null while it replies.
    away: Option<(f64, &'static str)>,
}

/// A limit that several lanes share.
#[derive(Serialize)]
struct SharedLimit {
    #[serde(flatten)]
    limit: Limit,
    /// The indices in `lanes` of those that share it.
    of: Vec<usize>,
}

#[derive(Serialize)]
struct Lane<'a> {
    endpoint: &'static str,
    model: Option<&'a str>,
    /// Whether this lane is shared by all models that have no lane of their own.
    overflow: bool,
    limits: Vec<Limit>,
    waiting: usize,
    /// Seconds until the next request may be sent, if that is known and not now.
    next_in: Option<f64>,
    /// Remaining seconds of the pause that the server asked for.
    paused_for: Option<f64>,
    admitted: u64,
    refused: u64,
    throttled: u64,
    /// Seconds.
    mean_wait: f64,
    history: Series,
}

#[derive(Serialize)]
struct Limit {
    counts: &'static str,
    max: u64,
    /// Seconds; null if the limit counts requests in flight.
    per: Option<f64>,
    /// Requests that may still be sent in this window, or free slots if the limit counts requests in flight.
    left: u64,
    /// Whether other lanes use it too.
    shared: bool,
    /// Whether it was learned from the API, and not configured.
    learned: bool,
}

pub(crate) async fn lanes(State(gateway): State<Arc<Gateway>>, uri: Uri) -> Response<Body> {
    let query = uri.query().and_then(|query| query.strip_prefix("since="));
    let since = query.and_then(|tick| tick.parse().ok()).unwrap_or(0);
    let mut response = Response::new(Body::from(report(&gateway, since)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn report(gateway: &Gateway, since: u64) -> Vec<u8> {
    let snapshot = gateway.limiter.snapshot();
    let history = gateway.history();
    let counts = gateway.monitor.counts();
    let now = now();
    let lanes = snapshot.lanes.iter();
    let report = LanesReport {
        upstream: gateway.target.name(),
        run: gateway.run,
        tokens: gateway.access.wants_token(),
        tick: history.tick(),
        open: gateway.traffic.counts(),
        waiting: snapshot.waiting,
        admitted: snapshot.admitted,
        refused: snapshot.refused,
        throttled: snapshot.throttled_count,
        unknown_tokens: counts.unknown_tokens,
        outage: gateway.monitor.outage.now(),
        sharing: snapshot.sharing.map(|sharing| Sharing {
            processes: sharing.processes,
            away: sharing.away.map(|(time, why)| (time.as_secs_f64(), why)),
        }),
        recent: history.recent(counts.totals()),
        programs: counts.programs.all(),
        shared: windows::shared(&snapshot.lanes)
            .into_iter()
            .map(|(limit, of)| {
                let left = windows::left(limit, &snapshot.lanes[of[0]], &snapshot.lanes, &history);
                let limit = Limit::new(limit, left);
                SharedLimit { limit, of }
            })
            .collect(),
        lanes: lanes
            .map(|lane| Lane::new(lane, &snapshot.lanes, &history, since, now))
            .collect(),
    };
    serde_json::to_vec(&report).expect("numbers and strings")
}

impl<'a> Lane<'a> {
    fn new(
        lane: &'a LaneSnapshot,
        lanes: &[LaneSnapshot],
        history: &History,
        since: u64,
        now: Instant,
    ) -> Self {
        let left = |at: Instant| at.saturating_duration_since(now).as_secs_f64();
        Self {
            endpoint: lane.endpoint.name(),
            model: lane.model.as_deref(),
            overflow: lane.overflow,
            limits: lane
                .limits
                .iter()
                .map(|limit| Limit::new(limit, windows::left(limit, lane, lanes, history)))
                .collect(),
            waiting: lane.waiting,
            next_in: lane.next.map(left),
            paused_for: lane.paused.map(left),
            admitted: lane.admitted,
            refused: lane.refused,
            throttled: lane.throttled_count,
            mean_wait: mean(lane.waited, lane.admitted).as_secs_f64(),
            history: history.of(lane, since),
        }
    }
}

impl Limit {
    fn new(limit: &LimitSnapshot, left: u64) -> Self {
        Self {
            counts: measure(limit.measure),
            max: limit.max,
            per: limit.per.as_ref().map(Duration::as_secs_f64),
            left,
            shared: limit.shared,
            learned: limit.learned,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a page shows real time")]
fn now() -> Instant {
    Instant::now()
}
