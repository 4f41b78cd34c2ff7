//! `GET /metrics`: the page's numbers for Prometheus, as text or as OpenMetrics, whichever `Accept` asks for.
//!
//! Labels are bounded as the limiter's lanes are: 64 models of the key, and one for all others.

pub(crate) mod exposition;
pub(crate) mod outcomes;

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::{body::Body, extract::State};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT, CONTENT_TYPE},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tower_together::limiter::{LaneSnapshot, LimitSnapshot, SharingSnapshot};

use crate::{
    gateway::Gateway,
    history::windows::{self, measure},
    metrics::outcomes::Outcomes,
    monitor::{traffic::OpenCounts, waits::Histogram},
};

pub(crate) async fn metrics(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Response<Body> {
    let mut registry = Registry::with_prefix("together_gateway");
    registry.register_collector(Box::new(Numbers::of(&gateway)));
    registry.register_collector(Box::new(Outcomes::of(&gateway.monitor)));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes all");
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (text, kind) = match accept.is_some_and(|accept| accept.contains(OPEN_METRICS)) {
        true => (
            text,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        false => (
            exposition::text(&text),
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    };
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The counts at one instant.
#[derive(Debug)]
struct Numbers {
    lanes: Vec<LaneSnapshot>,
    /// The remaining amount of each limit of each lane.
    left: Vec<Vec<u64>>,
    waits: Vec<Histogram>,
    open: OpenCounts,
    sharing: Option<SharingSnapshot>,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        self.counter(to, "requests", "Requests let go to the API", |lane| {
            lane.admitted
        })?;
        self.counter(
            to,
            "refused",
            "Requests that the gateway rejected",
            |lane| lane.refused,
        )?;
        self.counter(to, "throttled", "429s of the API", |lane| {
            lane.throttled_count
        })?;
        self.waiting(to)?;
        self.waits(to)?;
        self.limits(to, "limit", "What a limit allows", |limit, _| limit.max)?;
        let help = "Requests that may still be sent in this window, or free slots";
        self.limits(to, "limit_left", help, |_, left| left)?;
        let open = &self.open;
        gauge(
            to,
            "connections",
            "Connections of programs",
            open.connections,
        )?;
        gauge(to, "calls", "Calls under way or waiting", open.calls)?;
        gauge(to, "callers", "Programs with such calls", open.callers)?;
        gauge(to, "tasks", "Tasks alive", open.tasks)?;
        if let Some(sharing) = &self.sharing {
            let processes = usize::try_from(sharing.processes).unwrap_or(usize::MAX);
            gauge(
                to,
                "sharing_processes",
                "Processes that share the key",
                processes,
            )?;
            let help = "1 while Redis does not reply, and the gateway sends its part of the limits";
            gauge(to, "redis_away", help, sharing.away.is_some().into())?;
        }
        Ok(())
    }
}

impl Numbers {
    fn of(gateway: &Gateway) -> Self {
        let snapshot = gateway.limiter.snapshot();
        let lanes = snapshot.lanes;
        let history = gateway.history();
        let left = |lane: &LaneSnapshot| {
            let limits = lane.limits.iter();
            limits
                .map(|limit| windows::left(limit, lane, &lanes, &history))
                .collect()
        };
        Self {
            left: lanes.iter().map(left).collect(),
            waits: gateway.monitor.counts().waits.of(&lanes),
            open: gateway.traffic.counts(),
            lanes,
            sharing: snapshot.sharing,
        }
    }

    fn counter(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&LaneSnapshot) -> u64,
    ) -> fmt::Result {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for lane in &self.lanes {
            let labels = labels(lane);
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(value(lane)).encode(metric)?;
        }
        Ok(())
    }

    fn waiting(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that wait for their turn";
        let mut family = to.encode_descriptor("waiting", help, None, MetricType::Gauge)?;
        for lane in &self.lanes {
            let labels = labels(lane);
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(lane.waiting as i64).encode(metric)?;
        }
        Ok(())
    }

    fn waits(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long calls had waited when they were first sent";
        let unit = Some(&Unit::Seconds);
        let mut family = to.encode_descriptor("wait", help, unit, MetricType::Histogram)?;
        for (lane, waits) in self.lanes.iter().zip(&self.waits) {
            let labels = labels(lane);
            let mut metric: MetricEncoder<'_> = family.encode_family(&labels)?;
            let buckets = waits.buckets();
            metric.encode_histogram::<NoLabelSet>(waits.sum, waits.count, &buckets, None)?;
        }
        Ok(())
    }

    /// Reports the tightest limit of each kind: a lane may have several, but a series has one value.
    fn limits(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&LimitSnapshot, u64) -> u64,
    ) -> fmt::Result {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (lane, left) in self.lanes.iter().zip(&self.left) {
            let mut kinds = BTreeMap::new();
            for (limit, left) in lane.limits.iter().zip(left) {
                let kind = (measure(limit.measure), limit.per.unwrap_or_default());
                let least = kinds.entry(kind).or_insert(u64::MAX);
                *least = value(limit, *left).min(*least);
            }
            for ((counts, window), least) in kinds {
                let [endpoint, model, others] = labels(lane);
                let labels = [
                    endpoint,
                    model,
                    others,
                    ("counts", counts.to_owned()),
                    ("window_seconds", window.as_secs_f64().to_string()),
                ];
                let metric = family.encode_family(&labels)?;
                ConstGauge::new(least as i64).encode(metric)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn gauge(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> fmt::Result {
    let gauge = ConstGauge::new(value as i64);
    gauge.encode(to.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// The labels of a lane. The key is not a label because there is only one.
fn labels(lane: &LaneSnapshot) -> [(&'static str, String); 3] {
    // The lane of all other models has a label of its own, because any name may be a model's.
    let others = if lane.overflow { "true" } else { "false" };
    [
        ("endpoint", lane.endpoint.name().to_owned()),
        (
            "model",
            lane.model.as_deref().unwrap_or_default().to_owned(),
        ),
        ("others", others.to_owned()),
    ]
}

const OPEN_METRICS: &str = "application/openmetrics-text";
