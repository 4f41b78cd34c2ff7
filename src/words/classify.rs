//! Decides which requests the layers act on, and as which endpoint.

use std::{fmt, sync::Arc};

use http::{
    Method, Request, Uri,
    header::HOST,
    uri::{Authority, Scheme},
};

use super::endpoint::{Endpoint, normal};

#[cfg(test)]
mod tests;

/// Decides which requests the layers act on, and as which [`Endpoint`].
///
/// By default every request is taken for one to Together, whatever its host, so that a proxy or a test server
/// in between changes nothing. A client that also talks to other servers names Together's hosts:
///
/// ```
/// use tower_together::Classify;
///
/// let classify = Classify::together().only_hosts(Classify::TOGETHER_HOSTS);
/// ```
///
/// A gateway with paths of its own, and a service that is not Together at all:
///
/// ```
/// use tower_together::{Classify, Endpoint};
///
/// let gateway = Classify::together().with_prefix("/llm/together");
/// let other = Classify::together().with(|_, uri| match uri.path() {
///     "/generate" => Some(Endpoint::custom("generate")),
///     _ => None, // not our business: sent at once, never retried
/// });
/// ```
///
/// A request may state its endpoint itself, as an [`Endpoint`] in its extensions. Its path is then read only
/// by a classification of your own. [`JobsApi`](crate::jobs::JobsApi) does so, since only it knows which part
/// of a path is its base.
///
/// ```
/// use tower_together::Endpoint;
///
/// let request = http::Request::post("https://proxy.example/llm/v1/embeddings")
///     .extension(Endpoint::Embeddings)
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
///
/// Clones share their configuration.
#[derive(Clone, Default)]
pub struct Classify {
    /// `None` is the default, which then costs no pointer to follow.
    config: Option<Arc<Config>>,
}

#[derive(Clone, Default)]
struct Config {
    hosts: Option<Vec<Host>>,
    /// The prefixes, longest first, with a leading slash and none at the end.
    prefixes: Vec<String>,
    custom: Option<Custom>,
}

type Custom = Arc<dyn Fn(&Method, &Uri) -> Option<Endpoint> + Send + Sync>;

impl Classify {
    /// The hosts of Together's API: the one that the OpenAPI specification names, and the one that it named
    /// until April 2026, which still responds.
    pub const TOGETHER_HOSTS: &'static [&'static str] = &["api.together.ai", "api.together.xyz"];

    /// Together's own routes, on any host. This is the default.
    #[must_use]
    pub fn together() -> Self {
        Self::default()
    }

    /// Looks for Together's routes below this path too, for a proxy that serves them there.
    ///
    /// May be called more than once. If several prefixes fit, the longest that leads to a known route counts.
    /// Slashes at either end are optional. Paths without the prefix are classified as before. A
    /// classification of your own ([`with`](Self::with)) ignores prefixes.
    ///
    /// # Panics
    ///
    /// If `prefix` is more than a path: if it has a scheme, a query or a fragment.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        assert!(
            !prefix.contains("://") && !prefix.contains(['?', '#']),
            "no prefix: write a path as in \"/llm/together\""
        );
        let path = prefix.trim_matches('/');
        if path.is_empty() {
            return self;
        }
        self.change(|config| {
            config.prefixes.push(format!("/{path}"));
            config.prefixes.sort_by_key(|p| std::cmp::Reverse(p.len()));
        })
    }

    /// Acts on requests to these hosts and passes all others through. A second call replaces the first.
    ///
    /// A host is written as in a URL, without scheme: `api.together.ai`, `localhost:8080`, `[::1]:8080`. Case
    /// does not count. Without a port, any port fits. The host of a request is that of its URI, or else its
    /// `Host` header. A request with neither is passed through.
    ///
    /// # Panics
    ///
    /// If an item is not a host, such as a whole URL: it would never fit, and every request would be sent
    /// without a limit.
    #[must_use]
    pub fn only_hosts<I>(self, hosts: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let hosts = hosts.into_iter().map(|host| Host::new(host.as_ref()));
        let hosts = hosts.collect();
        self.change(|config| config.hosts = Some(hosts))
    }

    /// Classifies with `f` instead of Together's routes.
    ///
    /// If `f` returns `None`, the request is passed through. `f` is called for each attempt of each request,
    /// so it should be quick. It may fall back on [`Endpoint::of`]. Hosts given to
    /// [`only_hosts`](Self::only_hosts) are still checked first.
    #[must_use]
    pub fn with<F>(self, f: F) -> Self
    where
        F: Fn(&Method, &Uri) -> Option<Endpoint> + Send + Sync + 'static,
    {
        self.change(|config| config.custom = Some(Arc::new(f)))
    }

    /// The endpoint of the request, or `None` if it is to be passed through.
    pub(crate) fn endpoint<B>(&self, request: &Request<B>) -> Option<Endpoint> {
        let stated = request.extensions().get::<Endpoint>().copied();
        let Some(config) = &self.config else {
            let route = || Endpoint::of(request.method(), request.uri().path());
            return Some(stated.unwrap_or_else(route));
        };
        if let Some(hosts) = &config.hosts {
            let target = Target::of(request)?;
            if !hosts.iter().any(|host| host.fits(&target)) {
                return None;
            }
        }
        match &config.custom {
            Some(custom) => custom(request.method(), request.uri()),
            None => {
                Some(stated.unwrap_or_else(|| config.route(request.method(), request.uri().path())))
            }
        }
    }

    fn change(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.map(Arc::unwrap_or_clone).unwrap_or_default();
        change(&mut config);
        Self {
            config: Some(Arc::new(config)),
        }
    }
}

/// Shows hosts and prefixes, and a classification of your own as `..`.
impl fmt::Debug for Classify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Classify");
        if let Some(config) = &self.config {
            if let Some(hosts) = &config.hosts {
                out.field("hosts", hosts);
            }
            if config.custom.is_some() {
                out.field("with", &format_args!(".."));
            } else if !config.prefixes.is_empty() {
                out.field("prefixes", &config.prefixes);
            }
        }
        out.finish()
    }
}

impl Config {
    fn route(&self, method: &Method, path: &str) -> Endpoint {
        let path = &*normal(path);
        self.prefixes
            .iter()
            .filter_map(|prefix| path.strip_prefix(prefix.as_str()))
            .filter(|rest| rest.starts_with('/'))
            .map(|rest| Endpoint::of(method, rest))
            .find(|endpoint| *endpoint != Endpoint::Other)
            .unwrap_or_else(|| Endpoint::of(method, path))
    }
}

/// A host to act on.
#[derive(Clone)]
struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    fn new(written: &str) -> Self {
        // An authority also accepts `user:password@host`, and a port that is empty or not a number.
        let valid = !written.contains('@') && written.parse::<Authority>().is_ok();
        match split_port(written) {
            Some((name, port)) if valid && !name.is_empty() => Self {
                name: name.to_ascii_lowercase(),
                port,
            },
            _ => panic!("no host: write it as in \"api.together.ai\" or \"localhost:8080\""),
        }
    }

    fn fits(&self, target: &Target<'_>) -> bool {
        // A dot at its end marks a full domain name. It names the same host.
        let name = target.name.strip_suffix('.').unwrap_or(target.name);
        self.name.eq_ignore_ascii_case(name) && self.port.is_none_or(|port| target.is_port(port))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "\"{}:{port}\"", self.name),
            None => write!(f, "{:?}", self.name),
        }
    }
}

/// The destination of a request.
struct Target<'a> {
    name: &'a str,
    port: Option<u16>,
    scheme: Option<&'a Scheme>,
}

impl<'a> Target<'a> {
    fn of<B>(request: &'a Request<B>) -> Option<Self> {
        let uri = request.uri();
        let (name, port) = match uri.host().filter(|host| !host.is_empty()) {
            Some(host) => (host, uri.port_u16()),
            None => split_port(request.headers().get(HOST)?.to_str().ok()?.trim())?,
        };
        Some(Self {
            name,
            port,
            scheme: uri.scheme(),
        })
    }

    /// Without a port the scheme's own port counts. A path alone has no scheme, so it may have either port.
    fn is_port(&self, port: u16) -> bool {
        match self.port {
            Some(own) => own == port,
            None if self.scheme == Some(&Scheme::HTTPS) => port == 443,
            None if self.scheme == Some(&Scheme::HTTP) => port == 80,
            None => port == 443 || port == 80,
        }
    }
}

/// Splits `host:port`. The brackets of an IPv6 address stay. `None` if the port is not a number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if port.is_empty() {
                return Some((host, None));
            }
            Some((host, Some(port.parse().ok()?)))
        }
        _ => Some((authority, None)),
    }
}
