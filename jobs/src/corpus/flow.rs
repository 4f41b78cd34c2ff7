//! Work that is begun as the limiter's line grows short.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt,
    future::{Join, Ready, join, ready},
    stream::{Fuse, FuturesUnordered},
};
use tower_together::extension::QueueGauge;

pin_project_lite::pin_project! {
    /// Makes a future of each input, and gives what they give, in their order or as they end.
    pub(super) struct Flow<I, F, Fut, T>
    where
        Fut: Future<Output = T>,
    {
        #[pin]
        input: Fuse<I>,
        make: F,
        under_way: FuturesUnordered<Join<Ready<u64>, Fut>>,
        // Places of those that are under way or done and not given, in order; empty where any will do.
        done: VecDeque<Option<T>>,
        given: u64,
        taken: u64,
        most: usize,
        ordered: bool,
        gauge: QueueGauge,
    }
}

impl<I, F, Fut, T> Flow<I, F, Fut, T>
where
    I: Stream,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = T>,
{
    pub(super) fn new(input: I, make: F, most: usize, ordered: bool, gauge: QueueGauge) -> Self {
        Self {
            input: input.fuse(),
            make,
            under_way: FuturesUnordered::new(),
            done: VecDeque::new(),
            given: 0,
            taken: 0,
            most,
            ordered,
            gauge,
        }
    }
}

impl<I, F, Fut, T> Stream for Flow<I, F, Fut, T>
where
    I: Stream,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = T>,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        loop {
            // One of those that were waiting may have left, and this was woken for it.
            match this.under_way.poll_next_unpin(cx) {
                Poll::Ready(Some((_, done))) if !*this.ordered => return Poll::Ready(Some(done)),
                Poll::Ready(Some((number, done))) => {
                    this.done[(number - *this.given) as usize] = Some(done);
                    continue;
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(Some(_)) = this.done.front() {
                *this.given += 1;
                return Poll::Ready(this.done.pop_front().flatten());
            }
            let held = this.under_way.len().max(this.done.len());
            if held >= *this.most || this.gauge.count() >= AHEAD {
                return Poll::Pending;
            }
            match this.input.as_mut().poll_next(cx) {
                Poll::Ready(Some(input)) => {
                    let number = *this.taken;
                    *this.taken += 1;
                    if *this.ordered {
                        this.done.push_back(None);
                    }
                    let numbered = join(ready(number), (this.make)(input));
                    this.under_way.push(numbered);
                }
                Poll::Ready(None) if held == 0 => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The length of the queue that the flow keeps, so that no turn is missed until it is polled again: at a hundred
/// requests a second, for 160 ms.
const AHEAD: usize = 16;
