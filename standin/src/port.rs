//! The port, and all that came in through it.

use std::{
    future::poll_fn,
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Handle,
    task::JoinSet,
    time::sleep,
};

use crate::{connection::serve, open::Open, shared::Shared};

/// Listens, and can stop listening for a while.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entry: Entry,
    /// Grows when the entry shuts, so that a task of the time before cannot meddle.
    shut: u64,
    /// The task that accepts, and each connection. They are held here, so that they end when this
    /// is dropped; `axum::serve` would leave them running.
    tasks: JoinSet<()>,
}

#[derive(Debug)]
enum Entry {
    Open(TcpListener),
    /// To open again. Connections are refused all the same while the socket is bound and does not
    /// listen, and nobody else gets the port meanwhile.
    Shut(Option<TcpSocket>),
    Closed,
}

impl Port {
    /// Listens on the address, on the current tokio runtime.
    pub(crate) fn open(address: SocketAddr, shared: Shared) -> io::Result<Arc<Self>> {
        let listener = bind(address)?.listen(BACKLOG)?;
        let port = Arc::new(Self {
            address: listener.local_addr()?,
            shared: Arc::new(shared),
            runtime: Handle::current(),
            state: Mutex::new(State {
                entry: Entry::Open(listener),
                shut: 0,
                tasks: JoinSet::new(),
            }),
        });
        port.state().tasks.spawn(Arc::clone(&port).accept(0));
        Ok(port)
    }

    /// Ends everything, and begins again after this time.
    pub(crate) fn outage(self: &Arc<Self>, duration: Duration) {
        let mut state = self.state();
        state.entry = match mem::replace(&mut state.entry, Entry::Closed) {
            Entry::Open(listener) => {
                // Two sockets cannot have the port, so this one goes first.
                drop(listener);
                Entry::Shut(bind(self.address).ok())
            }
            Entry::Shut(socket) => Entry::Shut(socket),
            Entry::Closed => return,
        };
        state.shut += 1;
        state.tasks = JoinSet::new();
        let reopened = Arc::clone(self).reopen(state.shut, duration);
        state.tasks.spawn_on(reopened, &self.runtime);
    }

    /// Ends everything for good.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.entry = Entry::Closed;
        state.shut += 1;
        state.tasks = JoinSet::new();
    }

    async fn reopen(self: Arc<Self>, shut: u64, after: Duration) {
        sleep(after).await;
        while self.listen(shut).is_err() {
            // Somebody was quicker to take the port; it may be given back.
            sleep(AGAIN).await;
        }
        self.accept(shut).await;
    }

    fn listen(&self, shut: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.shut == shut {
            if let Entry::Shut(socket) = &mut state.entry {
                let socket = socket.take().map_or_else(|| bind(self.address), Ok)?;
                state.entry = Entry::Open(socket.listen(BACKLOG)?);
            }
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, shut: u64) {
        loop {
            if poll_fn(|cx| self.poll_admit(cx, shut)).await.is_err() {
                // Out of file descriptors, mostly: some will be closed.
                sleep(AGAIN).await;
            }
        }
    }

    /// Accepts a connection and serves it, in one step: an outage comes before it or after it.
    fn poll_admit(self: &Arc<Self>, cx: &mut Context<'_>, shut: u64) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let state = &mut *state;
        let Entry::Open(listener) = &state.entry else {
            return Poll::Pending;
        };
        if state.shut != shut {
            return Poll::Pending;
        }
        let (stream, _) = ready!(listener.poll_accept(cx))?;
        // Not fatal: the responses just come a little later.
        let _ = stream.set_nodelay(true);
        self.shared.connected.fetch_add(1, Ordering::Relaxed);
        let open = Open::new(&self.shared.connections);
        let port = Arc::clone(self);
        let outage = Arc::new(move |duration| port.outage(duration));
        let connection = serve(stream, Arc::clone(&self.shared), outage, open);
        // Those that have ended are forgotten.
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn_on(connection, &self.runtime);
        Poll::Ready(Ok(()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket bound as [`TcpListener::bind`] does it: also if connections of the time before have
/// not quite ended. On Windows the option means something else.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if cfg!(not(windows)) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

/// The same as [`TcpListener::bind`]'s.
const BACKLOG: u32 = 1024;

const AGAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, task::Waker};

    use tokio::time::timeout;

    use super::*;
    use crate::StandIn;

    fn port() -> Arc<Port> {
        let shared = StandIn::builder().shared();
        Port::open("127.0.0.1:0".parse().unwrap(), shared).unwrap()
    }

    async fn until(holds: impl Fn() -> bool) {
        let patience = async {
            while !holds() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = timeout(Duration::from_secs(120), patience).await;
        waited.expect("it comes true soon");
    }

    #[tokio::test]
    async fn what_is_closed_stays_closed() {
        let port = port();
        port.close();
        // A request under way at the end can still come to this.
        port.outage(Duration::ZERO);
        until(|| Arc::strong_count(&port) == 1).await;
        assert!(TcpStream::connect(port.address).is_err());
    }

    #[tokio::test]
    async fn a_task_of_the_time_before_an_outage_has_no_say_after_it() {
        let port = port();
        port.outage(Duration::ZERO);
        until(|| matches!(port.state().entry, Entry::Open(_))).await;
        let _client = TcpStream::connect(port.address).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let connected = || port.shared.connected.load(Ordering::Relaxed);
        assert!(port.poll_admit(&mut cx, 0).is_pending());
        assert_eq!(connected(), 0);
        until(|| connected() == 1).await;
        port.outage(Duration::from_secs(60));
        port.listen(1).unwrap();
        assert!(matches!(port.state().entry, Entry::Shut(_)));
        port.close();
    }
}
