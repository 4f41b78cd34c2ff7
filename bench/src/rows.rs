use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::runtime::Runtime;
use tower::Service;
use tower_governor::key_extractor::GlobalKeyExtractor;

use crate::{
    calls::{Calls, clone_and_oneshot, ready_and_call},
    requests::{Keys, Requests, json, keys},
    row::Row,
    services::{
        AxumNoOp, ByAuthorization, NoOp, buffered, governed, resilience, together,
        together_in_flight,
    },
};

/// Every row, in the order of the table. What needs a runtime to live in gets this one.
pub fn rows(runtime: &Runtime) -> Vec<Row> {
    let mut rows = Vec::new();
    let one = keys(1);
    layers(&mut rows, &one, runtime);
    bodies(&mut rows, &one);
    let first = rows.len();
    governors(&mut rows, "axum's response body, 1 key", &one, None);
    let thousand = keys(1_000);
    governors(
        &mut rows,
        "axum's response body, 1,000 keys",
        &thousand,
        Some(first),
    );
    let many = keys(100_000);
    governors(
        &mut rows,
        "axum's response body, 100,000 keys",
        &many,
        Some(first),
    );
    rows
}

fn layers(rows: &mut Vec<Row>, keys: &[Keys; 2], runtime: &Runtime) {
    let mut section = Section::new(rows, "no body, 1 key", keys, None);
    let body = Empty::<Bytes>::new();
    section.add("no-op", &NoOp, &body);
    section.add_oneshot("no-op, clone + oneshot", &NoOp, &body);
    section.add(OURS, &together(NoOp), &body);
    section.add_oneshot("TogetherRateLimit, clone + oneshot", &together(NoOp), &body);
    section.add(
        "TogetherRateLimit with in-flight limit",
        &together_in_flight(NoOp),
        &body,
    );
    section.add(
        "tower-resilience RateLimiter, fixed window",
        &resilience(NoOp),
        &body,
    );
    let _inside = runtime.enter();
    section.add("tower Buffer + RateLimit", &buffered(), &body);
    // Its worker is a task of one runtime: with callers in two it would measure their wake-ups.
    rows.last_mut().expect("added just now").two = None;
}

fn bodies(rows: &mut Vec<Row>, keys: &[Keys; 2]) {
    let mut section = Section::new(rows, "JSON body of 1 KiB in memory, 1 key", keys, None);
    let [first, last] = [true, false].map(|model_first| Full::new(json(model_first)));
    section.add("no-op", &NoOp, &first);
    section.add("TogetherRateLimit, model first", &together(NoOp), &first);
    section.add("TogetherRateLimit, model last", &together(NoOp), &last);
}

fn governors(rows: &mut Vec<Row>, heading: &'static str, keys: &[Keys; 2], one_key: Option<usize>) {
    let mut section = Section::new(rows, heading, keys, one_key);
    let body = Empty::<Bytes>::new();
    section.add("no-op", &AxumNoOp, &body);
    section.add(OURS, &together(AxumNoOp), &body);
    section.add(
        "GovernorLayer, a limit for each key",
        &governed(ByAuthorization),
        &body,
    );
    if one_key.is_none() {
        section.add(
            "GovernorLayer, one limit for all",
            &governed(GlobalKeyExtractor),
            &body,
        );
    }
}

/// Rows with the same requests; the first is the no-op.
struct Section<'a> {
    rows: &'a mut Vec<Row>,
    heading: Option<&'static str>,
    keys: &'a [Keys; 2],
    no_op: usize,
    /// Where the section begins that is the same with one key.
    one_key: Option<usize>,
}

impl<'a> Section<'a> {
    fn new(
        rows: &'a mut Vec<Row>,
        heading: &'static str,
        keys: &'a [Keys; 2],
        one_key: Option<usize>,
    ) -> Self {
        Self {
            no_op: rows.len(),
            rows,
            heading: Some(heading),
            keys,
            one_key,
        }
    }

    fn add<S, B, R>(&mut self, name: &'static str, service: &S, body: &B)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: fmt::Debug,
        B: Clone + Send + 'static,
    {
        self.push(name, |keys| {
            ready_and_call(service, &Requests::new(keys, body))
        });
    }

    fn add_oneshot<S, B, R>(&mut self, name: &'static str, service: &S, body: &B)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: fmt::Debug,
        B: Clone + Send + 'static,
    {
        self.push(name, |keys| {
            clone_and_oneshot(service, &Requests::new(keys, body))
        });
    }

    fn push(&mut self, name: &'static str, calls: impl Fn(&Keys) -> Calls) {
        let one_key = self.one_key.and_then(|first| {
            let mut from_there = self.rows.iter().enumerate().skip(first);
            from_there
                .find(|(_, row)| row.name == name)
                .map(|(index, _)| index)
        });
        self.rows.push(Row {
            heading: self.heading.take(),
            name,
            no_op: self.no_op,
            one_key,
            keys: self.keys[0].len(),
            one: calls(&self.keys[0]),
            two: Some([calls(&self.keys[0]), calls(&self.keys[1])]),
        });
    }
}

/// The layer as it is used most; the aims are about the first row of this name, and about the last.
pub const OURS: &str = "TogetherRateLimit";
