//! The current connections and calls, and the number of programs they belong to.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::monitor::{
    Monitor,
    record::{End, Record},
};

/// Counts everything that is open. A count drops when its connection or call ends, however that happens.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    connections: AtomicUsize,
    /// Calls in flight, by caller.
    callers: Mutex<HashMap<u64, usize>>,
    hash: RandomState,
}

/// The numbers of open connections, calls, programs and tasks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OpenCounts {
    /// Connections of programs.
    pub(crate) connections: usize,
    /// Calls that have arrived and whose response has not ended, queued calls included.
    pub(crate) calls: usize,
    /// The number of programs that these calls come from.
    pub(crate) callers: usize,
    /// Tasks of the whole process.
    pub(crate) tasks: usize,
}

/// An open connection: it is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Connection(Arc<Traffic>);

/// A call in flight: it is counted until this is dropped.
pub(crate) struct OpenCall {
    traffic: Arc<Traffic>,
    caller: u64,
    record: Arc<Record>,
    monitor: Arc<Monitor>,
}

/// A response's body, and its call.
pub(crate) struct OpenBody {
    body: Body,
    call: OpenCall,
}

impl Traffic {
    pub(crate) fn connect(self: &Arc<Self>) -> Connection {
        self.connections.fetch_add(1, Relaxed);
        Connection(Arc::clone(self))
    }

    pub(crate) fn call(
        self: &Arc<Self>,
        caller: &str,
        record: &Arc<Record>,
        monitor: &Arc<Monitor>,
    ) -> OpenCall {
        let caller = self.hash.hash_one(caller);
        *self.callers().entry(caller).or_default() += 1;
        OpenCall {
            traffic: Arc::clone(self),
            caller,
            record: Arc::clone(record),
            monitor: Arc::clone(monitor),
        }
    }

    pub(crate) fn counts(&self) -> OpenCounts {
        let callers = self.callers();
        OpenCounts {
            connections: self.connections.load(Relaxed),
            calls: callers.values().sum(),
            callers: callers.len(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenCall {
    /// Counts the call until the response's body has ended, or is dropped because its program hung up.
    pub(crate) fn until_end_of(self, body: Body) -> Body {
        Body::new(OpenBody { body, call: self })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        // It counts until it is logged: a gateway without calls may stop.
        self.record.finish(&self.monitor);
        let mut callers = self.traffic.callers();
        if let Some(calls) = callers.get_mut(&self.caller) {
            *calls -= 1;
            if *calls == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

/// hyper does not poll a body again that reports its end.
impl Drop for OpenBody {
    fn drop(&mut self) {
        if http_body::Body::is_end_stream(&self.body) {
            self.call.record.end(End::Done);
        }
    }
}

impl http_body::Body for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.call.record.end(End::BrokeOff),
            None => self.call.record.end(End::Done),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
