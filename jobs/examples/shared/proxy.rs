//! Connections through the proxy that the environment names, as curl reads it: `HTTPS_PROXY`, `HTTP_PROXY`,
//! `ALL_PROXY` and `NO_PROXY`. This computer itself needs none.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Uri, header::PROXY_AUTHORIZATION, uri::Scheme};
use hyper_util::{
    client::{
        legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower::{BoxError, Service, ServiceExt, service_fn};

/// The proxies of the environment.
#[derive(Clone)]
pub(crate) struct Proxies(Arc<Matcher>);

impl Proxies {
    pub(crate) fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// A request with what its proxy is to know of its sender. A tunnel is told when it is opened.
    pub(crate) fn authorized<B>(&self, mut request: Request<B>) -> Request<B> {
        let to = request.uri();
        let proxy = self.of(to).filter(|_| !is_https(to));
        if let Some(authorization) = proxy.as_ref().and_then(Intercept::basic_auth) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        request
    }

    fn of(&self, to: &Uri) -> Option<Intercept> {
        let remote = to.host().filter(|host| !is_loopback(host));
        remote.and_then(|_| self.0.intercept(to))
    }

    /// Connects directly, through a tunnel of the proxy, or, without TLS, to the proxy.
    pub(crate) fn connector(
        self,
        tcp: HttpConnector,
    ) -> impl Service<Uri, Response = TokioIo<Tcp>, Error = BoxError, Future: Send> + Clone {
        service_fn(move |to: Uri| {
            let (proxy, tcp) = (self.of(&to), tcp.clone());
            async move {
                let proxied = proxy.is_some() && !is_https(&to);
                let stream = match proxy {
                    Some(proxy) if !proxied => {
                        let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                        let tunnel = match proxy.basic_auth() {
                            Some(authorization) => tunnel.with_auth(authorization.clone()),
                            None => tunnel,
                        };
                        tunnel.oneshot(to).await?
                    }
                    Some(proxy) => tcp.oneshot(proxy.uri().clone()).await?,
                    None => tcp.oneshot(to).await?,
                };
                let stream = stream.into_inner();
                Ok(TokioIo::new(Tcp { stream, proxied }))
            }
        })
    }
}

/// Whether a host is this computer.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// A connection that tells the client to write whole addresses if it ends at a proxy.
pub(crate) struct Tcp {
    stream: TcpStream,
    proxied: bool,
}

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.proxied)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
