//! A Redis or Valkey server of one test.
#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    env, fs,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A server on a socket of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    folder: PathBuf,
    settings: Vec<String>,
}

impl Server {
    /// Starts the program that `REDIS_SERVER` names, or `redis-server`; `None` if there is none.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts it with more arguments on its command line.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!(
            "tower-together-redis-{}-{number}",
            std::process::id()
        ));
        fs::create_dir_all(&folder).expect("a folder for the socket");
        let mut server = Self {
            child: None,
            folder,
            settings: settings.iter().map(ToString::to_string).collect(),
        };
        server.restart().then_some(server)
    }

    /// Starts the server, empty. Returns whether there is a program.
    pub fn restart(&mut self) -> bool {
        self.kill();
        let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let started = Command::new(program)
            .args(["--port", "0", "--save", "", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .args(&self.settings)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if env::var("REDIS_SERVER").is_ok() => {
                panic!("the program that REDIS_SERVER names does not start: {error}")
            }
            Err(_) => return false,
        };
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(self.socket()).is_err() {
            assert!(
                Instant::now() < deadline,
                "the server does not listen after 10 s"
            );
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The URL of its socket.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills the server, with all that it knew.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.socket());
    }

    /// The id of the server's process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
