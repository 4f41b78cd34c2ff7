//! Waiting requests that are polled by hand: each when it is woken, in the order of the wakes.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use tower_together::{
    Limiter,
    limiter::{Acquire, Call},
};

/// Requests by their numbers. One that has left, or was cancelled, is `None`.
#[derive(Default)]
pub(crate) struct Waiting {
    requests: Vec<Option<Request>>,
    woken: Arc<Mutex<VecDeque<usize>>>,
}

struct Request {
    turn: Pin<Box<Acquire>>,
    waker: Waker,
    polls: u32,
}

struct Woken {
    number: usize,
    list: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.list.lock().unwrap().push_back(self.number);
    }
}

impl Waiting {
    /// Adds a request, which is not polled yet.
    pub(crate) fn add(&mut self, limiter: &Limiter, call: Call) {
        let number = self.requests.len();
        let list = Arc::clone(&self.woken);
        self.requests.push(Some(Request {
            turn: Box::pin(limiter.acquire(call)),
            waker: Waker::from(Arc::new(Woken { number, list })),
            polls: 0,
        }));
        // As much as is ever needed, so that it does not count as memory of the limiter.
        self.woken.lock().unwrap().reserve(number + 1);
    }

    /// Polls all requests once. Calls `left` with the number and the polls of each that leaves.
    pub(crate) fn poll_all(&mut self, mut left: impl FnMut(usize, u32)) {
        for number in 0..self.requests.len() {
            self.poll(number, &mut left);
        }
    }

    /// Polls those that are woken, until no other is.
    pub(crate) fn poll_woken(&mut self, mut left: impl FnMut(usize, u32)) {
        loop {
            let next = self.woken.lock().unwrap().pop_front();
            let Some(number) = next else { break };
            self.poll(number, &mut left);
        }
    }

    /// Drops the next request to poll, which has been offered its turn. Returns whether there was one.
    pub(crate) fn cancel_woken(&mut self) -> bool {
        let next = self.woken.lock().unwrap().pop_front();
        next.is_some_and(|number| self.cancel(number))
    }

    /// Drops a request. Returns whether it waited.
    pub(crate) fn cancel(&mut self, number: usize) -> bool {
        self.requests[number].take().is_some()
    }

    fn poll(&mut self, number: usize, left: &mut impl FnMut(usize, u32)) {
        let Some(request) = &mut self.requests[number] else {
            return;
        };
        request.polls += 1;
        let mut cx = Context::from_waker(&request.waker);
        if let Poll::Ready(permit) = request.turn.as_mut().poll(&mut cx) {
            left(number, request.polls);
            self.requests[number] = None;
            drop(permit.expect("nothing rejects it"));
        }
    }
}
