//! The processes between the programs and the API. Each sends all requests with one key.

use std::{fs, io, net::TcpListener, process::Stdio};

use tempfile::TempDir;
use testing::until;
use together_standin::StandIn;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A running process, which ends when this is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    _child: Child,
    _folder: Option<TempDir>,
}

pub(crate) async fn gateway(api: &StandIn) -> io::Result<Running> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_together-gateway"))
        .args(["--listen", "127.0.0.1:0", "--base-url", &api.url()])
        .args(["--limit", "chat-completions=600", "--max-wait", "120"])
        .args(["--log", "off"])
        .env("TOGETHER_API_KEY", "shared")
        .env_remove("GATEWAY_TOKENS")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).await?;
    let url = line.trim_end().strip_prefix("listening on ");
    let url = url.ok_or_else(|| io::Error::other("the gateway does not listen"))?;
    Ok(Running {
        url: url.to_owned(),
        _child: child,
        _folder: None,
    })
}

pub(crate) async fn nginx(api: &StandIn) -> io::Result<Running> {
    let folder = tempfile::tempdir()?;
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = NGINX
        .replace("LISTEN", &listen.to_string())
        .replace("API", &api.url());
    fs::write(folder.path().join("nginx.conf"), config)?;
    let spawn = |program| {
        Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .kill_on_drop(true)
            .spawn()
    };
    // Debian's is in a folder that is not in every user's PATH.
    let child = spawn("nginx").or_else(|_| spawn("/usr/sbin/nginx"))?;
    until("nginx listens", async || {
        TcpStream::connect(listen).await.is_ok()
    })
    .await;
    Ok(Running {
        url: format!("http://{listen}"),
        _child: child,
        _folder: Some(folder),
    })
}

/// Requests beyond the rate are delayed, in the order of their arrival.
const NGINX: &str = r#"
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 2048; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    limit_req_zone $server_port zone=all:1m rate=600r/m;
    server {
        listen LISTEN;
        location / {
            limit_req zone=all burst=1000;
            proxy_set_header Authorization "Bearer shared";
            proxy_pass API;
        }
    }
}
"#;
