//! A bucket that holds a minute's requests, as programs write it themselves.

use futures::{FutureExt, future::BoxFuture};
use simulation::plain::Bucket;
use tokio::time::sleep_until;

use super::{Given, Turns};
use crate::wire::Call;

pub(super) struct Plain(Bucket);

pub(super) fn new(given: Given) -> Plain {
    Plain(Bucket::per_minute(given.requests))
}

impl Turns for Plain {
    fn turn(&self, _: Call) -> BoxFuture<'_, ()> {
        sleep_until(self.0.take()).boxed()
    }
}
