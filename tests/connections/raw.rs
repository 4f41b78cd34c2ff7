//! Servers with faults that no server should have, byte by byte.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, routing::post};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// Responds to each request with 429 when it first arrives, reads no more of it, and does not close. Reads a retry to
/// its end.
pub(crate) struct Deaf {
    pub(crate) url: String,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    ids: Mutex<HashSet<String>>,
    rejected: AtomicUsize,
    /// Connections that got a 429 and are still open.
    open: AtomicUsize,
    bodies: Mutex<Vec<Vec<u8>>>,
}

impl Deaf {
    pub(crate) async fn start() -> Self {
        let seen = Arc::<Seen>::default();
        let (url, tasks) = serve({
            let seen = Arc::clone(&seen);
            move |stream, _| {
                let seen = Arc::clone(&seen);
                async move {
                    let _ = seen.serve(stream).await;
                }
            }
        })
        .await;
        Self {
            url,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn rejected(&self) -> usize {
        self.seen.rejected.load(SeqCst)
    }

    pub(crate) fn left_open(&self) -> usize {
        self.seen.open.load(SeqCst)
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen.bodies.lock().unwrap().clone()
    }
}

impl Seen {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut read = Vec::new();
        while let Some((head, length)) = head(&mut stream, &mut read).await? {
            let is_new = self.ids.lock().unwrap().insert(head);
            if is_new {
                self.rejected.fetch_add(1, SeqCst);
                self.open.fetch_add(1, SeqCst);
                let left = leave_alone(&mut stream).await;
                self.open.fetch_sub(1, SeqCst);
                return left;
            }
            while read.len() < length {
                stream.read_buf(&mut read).await?;
            }
            let rest = read.split_off(length);
            self.bodies.lock().unwrap().push(read);
            read = rest;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await?;
        }
        Ok(())
    }
}

async fn leave_alone(stream: &mut TcpStream) -> io::Result<()> {
    let response =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 1\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(response.as_bytes()).await?;
    while !stream.ready(Interest::READABLE).await?.is_read_closed() {
        // Unread bytes keep it ready.
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// A request's id and the length of its body; bytes read after its head stay in `read`.
async fn head(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<(String, usize)>> {
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
            let value = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(key, _)| *key == name).unwrap().1.to_owned()
            };
            let length = value("content-length").parse().unwrap();
            return Ok(Some((value("x-id"), length)));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Accepts the first request over HTTP/2, and leaves. Later requests get 200.
pub(crate) struct Leaving {
    pub(crate) url: String,
    arrived: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Leaving {
    pub(crate) async fn start(farewell: Farewell) -> Self {
        let arrived = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&arrived);
        let app = Router::new().route(
            "/v1/{*path}",
            post(move || {
                counter.fetch_add(1, SeqCst);
                async {}
            }),
        );
        let counter = Arc::clone(&arrived);
        let (url, tasks) = serve(move |stream, nth| {
            let (app, counter) = (app.clone(), Arc::clone(&counter));
            async move {
                if nth == 0 {
                    let _ = leave(stream, farewell, &counter).await;
                    return;
                }
                let service = TowerToHyperService::new(app);
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self {
            url,
            arrived,
            _tasks: tasks,
        }
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(SeqCst)
    }
}

/// The way in which a server leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Farewell {
    /// With a GOAWAY that names the last stream it has processed: 0 is none, 1 is the first.
    GoAway { last: u8, code: u8 },
    /// With a RST_STREAM for the first stream.
    Reset { code: u8 },
}

impl Farewell {
    pub(crate) const NO_ERROR: u8 = 0;
    pub(crate) const ENHANCE_YOUR_CALM: u8 = 11;

    fn frame(self) -> Vec<u8> {
        match self {
            Self::GoAway { last, code } => {
                vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, code]
            }
            Self::Reset { code } => vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, code],
        }
    }
}

async fn leave(mut stream: TcpStream, farewell: Farewell, arrived: &AtomicUsize) -> io::Result<()> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&SETTINGS).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    arrived.fetch_add(1, SeqCst);
    stream.write_all(&farewell.frame()).await?;
    stream.shutdown().await?;
    // Unread bytes would take the frame with them.
    while stream.read(&mut preface).await? > 0 {}
    Ok(())
}

/// Serves each connection in a task of its own, and passes the connection's index.
async fn serve<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> (String, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        for nth in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            connections.spawn(serve(stream, nth));
        }
    });
    (url, tasks)
}
