//! `GET /metrics`: the same numbers for Prometheus.
//!
//! Labels are bounded as the limiter's lanes are: 64 models of the key, and one for all others.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::{body::Body, extract::State};
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tower_together::limiter::{LaneSnapshot, LimitSnapshot};

use crate::{app::Gateway, lanes::measure, traffic::Counts};

pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let mut registry = Registry::with_prefix("together_gateway");
    registry.register_collector(Box::new(Numbers {
        lanes: gateway.limiter.snapshot().lanes,
        open: gateway.traffic.counts(),
    }));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes all");
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    answer
}

/// What was counted, at one instant.
#[derive(Debug)]
struct Numbers {
    lanes: Vec<LaneSnapshot>,
    open: Counts,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        self.counter(to, "requests", "Requests let go to the API", |lane| {
            lane.admitted
        })?;
        self.counter(to, "refused", "Requests the gateway refused", |lane| {
            lane.refused
        })?;
        self.counter(to, "throttled", "429s of the API", |lane| lane.throttled)?;
        self.waiting(to)?;
        self.waits(to)?;
        self.limits(to, "limit", "What a limit allows", |limit| limit.max)?;
        self.limits(to, "limit_left", "What it would allow now", |limit| {
            limit.left
        })?;
        let open = &self.open;
        gauge(
            to,
            "connections",
            "Connections of programs",
            open.connections,
        )?;
        gauge(to, "calls", "Calls under way or waiting", open.calls)?;
        gauge(to, "callers", "Programs with such calls", open.callers)?;
        gauge(to, "tasks", "Tasks alive", open.tasks)
    }
}

impl Numbers {
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

    /// Sum and count, of which Prometheus makes the mean of any stretch of time.
    fn waits(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long the requests let go had waited";
        let unit = Some(&Unit::Seconds);
        let mut family = to.encode_descriptor("wait", help, unit, MetricType::Histogram)?;
        for lane in &self.lanes {
            let labels = labels(lane);
            let mut metric: MetricEncoder<'_> = family.encode_family(&labels)?;
            let all = [(f64::INFINITY, lane.admitted)];
            let sum = lane.waited.as_secs_f64();
            metric.encode_histogram::<NoLabelSet>(sum, lane.admitted, &all, None)?;
        }
        Ok(())
    }

    /// Of the limits of one kind the one that binds: lanes are under several, and a series is one.
    fn limits(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&LimitSnapshot) -> u64,
    ) -> fmt::Result {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for lane in &self.lanes {
            let mut kinds = BTreeMap::new();
            for limit in &lane.limits {
                let kind = (measure(limit.measure), limit.per.unwrap_or_default());
                let least = kinds.entry(kind).or_insert(u64::MAX);
                *least = value(limit).min(*least);
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

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let gauge = ConstGauge::new(value as i64);
    gauge.encode(to.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// The key is none of them: there is one.
fn labels(lane: &LaneSnapshot) -> [(&'static str, String); 3] {
    // A label of its own says that it is all others': any name may be a model's.
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

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
