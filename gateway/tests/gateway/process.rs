//! The gateway's process.

use std::{ops::Index, process::Stdio};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::program::{Body, Program};
use testing::PATIENCE;

/// A running gateway, which ends when this is dropped.
pub(crate) struct Gateway {
    child: Child,
    url: String,
}

/// Its `/lanes`.
pub(crate) struct Lanes(Value);

/// The program, without the environment variables that it reads.
pub(crate) fn command(args: &[&str]) -> Command {
    plain(Command::new(PROGRAM), args)
}

fn plain(mut command: Command, args: &[&str]) -> Command {
    command
        .args(args)
        .env_remove("TOGETHER_API_KEY")
        .env_remove("GATEWAY_TOKENS")
        .env_remove("GATEWAY_REDIS")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Gateway {
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[]).await
    }

    /// Starts a gateway that calls the server at `url`.
    pub(crate) async fn before(url: &str, args: &[&str]) -> Self {
        Self::start(&[&["--base-url", url], args].concat()).await
    }

    pub(crate) async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = command(args);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::spawn(command.envs(env.iter().copied())).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).await.unwrap();
        let url = line.trim_end().strip_prefix("listening on ");
        let Some(url) = url.map(str::to_owned) else {
            let url = String::new();
            panic!("{line}{}", Self { child, url }.stop().await);
        };
        Self { child, url }
    }

    /// Starts a gateway under this `ulimit` that calls the server at this address.
    #[cfg(unix)]
    pub(crate) async fn under(ulimit: &str, url: &str, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--base-url", url]);
        Self::spawn(&mut plain(command, args)).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends it a signal, as `TERM`.
    #[cfg(unix)]
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        let kill = kill.args([&format!("-{name}"), &id]).status().await;
        assert!(kill.unwrap().success());
    }

    /// A chat completion.
    pub(crate) fn post(&self, body: impl Into<Body>) -> Request<Body> {
        self.post_to("/v1/chat/completions", body)
    }

    pub(crate) fn post_to(&self, path: &str, body: impl Into<Body>) -> Request<Body> {
        Request::post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Request<Body> {
        let request = Request::get(format!("{}{path}", self.url));
        request.body(Full::<Bytes>::default().into()).unwrap()
    }

    /// Sends a head with this first line, and returns the response.
    pub(crate) async fn raw(&self, line: &str) -> String {
        let head = format!("{line}\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        self.head(&head).await
    }

    /// Sends this head, and returns the response.
    pub(crate) async fn head(&self, head: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// Its `/lanes`, fetched over a connection that is closed again.
    pub(crate) async fn lanes(&self) -> Lanes {
        let response = Program::new("watcher").send(self.get("/lanes")).await;
        Lanes(response.json())
    }

    /// Waits until it has written this to its standard error.
    pub(crate) async fn says(&mut self, part: &str) {
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut said = Vec::new();
        let saying = async {
            while !String::from_utf8_lossy(&said).contains(part) {
                let read = stderr.read_buf(&mut said).await.unwrap();
                assert!(read > 0, "it ended and never said {part}");
            }
        };
        let said = timeout(PATIENCE, saying).await;
        said.unwrap_or_else(|_| panic!("not said: {part}"));
    }

    /// Ends it, and returns its standard error.
    pub(crate) async fn stop(&mut self) -> String {
        // If it was killed, it could not write its last lines.
        #[cfg(unix)]
        self.signal("TERM").await;
        #[cfg(not(unix))]
        let _ = self.child.start_kill();
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Waits for its end without reading its standard error, and returns its exit code.
    #[cfg(unix)]
    pub(crate) async fn ended_unread(mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").unwrap().code()
    }

    /// Waits for its end, and returns its exit code and its standard error.
    #[cfg(unix)]
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).await.unwrap();
        (self.child.wait().await.unwrap().code(), text)
    }
}

impl Lanes {
    pub(crate) fn waiting(&self) -> u64 {
        self["waiting"].as_u64().unwrap()
    }

    /// Whether no call is in flight or queued.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting() == 0 && self["open"]["calls"] == 0
    }

    /// One lane.
    pub(crate) fn of(&self, endpoint: &str, model: Option<&str>) -> &Value {
        let lanes = self["lanes"].as_array().unwrap();
        let lane = lanes
            .iter()
            .find(|lane| lane["endpoint"] == endpoint && lane["model"].as_str() == model);
        lane.unwrap_or_else(|| panic!("no lane {endpoint} {model:?} in {}", self.0))
    }
}

impl Index<&str> for Lanes {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.0[name]
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_together-gateway");
