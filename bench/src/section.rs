use std::fmt;

use http::{Request, Response};
use tower::Service;

use crate::{
    calls::{Calls, clone_and_oneshot, ready_and_call},
    requests::{Keys, Requests},
    row::Row,
};

/// Rows with the same requests; the first is the no-op.
pub(crate) struct Section<'a> {
    rows: &'a mut Vec<Row>,
    heading: Option<&'static str>,
    keys: &'a [Keys; 2],
    no_op: usize,
    /// The start of the same section with one key.
    one_key: Option<usize>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
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

    pub(crate) fn add<S, B, R>(&mut self, name: &'static str, service: &S, body: &B)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: fmt::Debug,
        B: Clone + Send + 'static,
    {
        self.push(name, |keys| {
            ready_and_call(service, &Requests::new(keys, body))
        });
    }

    pub(crate) fn add_oneshot<S, B, R>(&mut self, name: &'static str, service: &S, body: &B)
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: fmt::Debug,
        B: Clone + Send + 'static,
    {
        self.push(name, |keys| {
            clone_and_oneshot(service, &Requests::new(keys, body))
        });
    }

    pub(crate) fn push(&mut self, name: &'static str, calls: impl Fn(&Keys) -> Calls) {
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
            at_once: 1_000,
            keys: self.keys[0].len(),
            one: calls(&self.keys[0]),
            two: Some([calls(&self.keys[0]), calls(&self.keys[1])]),
        });
    }
}
