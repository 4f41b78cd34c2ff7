//! Servers that respond before they have read the request.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Responds to the first requests with 429 at once, and reads on; reads every later request whole first.
pub(crate) struct Early {
    url: String,
    state: Arc<Seen>,
    _tasks: JoinSet<()>,
}

struct Seen {
    early: AtomicUsize,
    bodies: Mutex<Vec<Bytes>>,
    given_up: Mutex<Vec<Option<Bytes>>>,
    open: AtomicUsize,
}

impl Early {
    pub(crate) async fn start(early: usize) -> Self {
        let state = Arc::new(Seen {
            early: AtomicUsize::new(early),
            bodies: Mutex::default(),
            given_up: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let app = Router::new()
            .fallback(respond)
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                let open = Open::new(&seen);
                connections.spawn(async move {
                    let _open = open;
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            url,
            state,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The bodies that were read.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.state.bodies.lock().unwrap().clone()
    }

    /// The bodies of requests that got an early response: `None` for a body that failed.
    pub(crate) fn given_up(&self) -> Vec<Option<Bytes>> {
        self.state.given_up.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.open.load(SeqCst)
    }
}

async fn respond(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let early = seen
        .early
        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
    if early.is_ok() {
        tokio::spawn(async move {
            let body = to_bytes(request.into_body(), usize::MAX).await;
            seen.given_up.lock().unwrap().push(body.ok());
        });
        let response = Response::builder()
            .status(429)
            .header("retry-after-ms", "5");
        return response.body(Body::from("{}")).unwrap();
    }
    let body = to_bytes(request.into_body(), usize::MAX).await;
    seen.bodies.lock().unwrap().push(body.expect("whole"));
    Response::new(Body::empty())
}

struct Open(Arc<Seen>);

impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// Responds to every request with 429 after its first bytes, discards the rest, and leaves it to the client to close
/// the connection.
pub(crate) struct Lingering {
    url: String,
    open: Arc<AtomicUsize>,
    responded: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Lingering {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (open, responded) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        let counts = (Arc::clone(&open), Arc::clone(&responded));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (open, responded) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                open.fetch_add(1, SeqCst);
                connections.spawn(async move {
                    let _ = reject(stream, &responded).await;
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self {
            url,
            open,
            responded,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.open.load(SeqCst)
    }

    pub(crate) fn responded(&self) -> usize {
        self.responded.load(SeqCst)
    }
}

async fn reject(mut stream: TcpStream, responded: &AtomicUsize) -> io::Result<()> {
    let mut room = [0; 4_096];
    stream.read_exact(&mut room[..64]).await?;
    stream.write_all(RESPONSE.as_bytes()).await?;
    responded.fetch_add(1, SeqCst);
    while stream.read(&mut room).await? > 0 {}
    Ok(())
}

const RESPONSE: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 1\r\nconnection: close\r\n\
                      content-length: 2\r\n\r\n{}";
