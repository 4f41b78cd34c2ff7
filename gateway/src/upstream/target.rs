//! The address and key for calls.

use std::{net::IpAddr, time::Duration};

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use together_standin::StandIn;
use tower::BoxError;

use crate::{
    config::args::Args,
    upstream::{key::UpstreamKey, path},
};

/// The API behind the gateway.
pub(crate) struct Target {
    scheme: Scheme,
    host: Authority,
    /// The prefix of its paths before `/v1`.
    pub(crate) prefix: String,
    /// Whether a path without a version gets `/v1`.
    versioned: bool,
    pub(crate) key: UpstreamKey,
    /// Whether to speak HTTP/2.
    pub(crate) http2: bool,
    name: String,
    stand_in: Option<StandIn>,
}

impl Target {
    /// Chooses the API: Together with a key, the stand-in without one, or the address that `args` names.
    pub(crate) async fn choose(args: &Args) -> Result<Self, BoxError> {
        let key = UpstreamKey::from_env()?;
        match (&args.base_url, key.is_set()) {
            (Some(url), false) if !is_loopback(url.host().unwrap_or_default()) => {
                Err(format!("{url} wants a key: put it in TOGETHER_API_KEY").into())
            }
            (Some(url), _) => Self::new(url, key, args.http2),
            (None, true) if args.demo => Err(NO_DEMO.into()),
            (None, true) => Self::new(&Uri::from_static(TOGETHER), key, args.http2),
            (None, false) => {
                // Slow enough to show that responses arrive word by word.
                let stand_in = StandIn::builder().chunk_delay(BETWEEN_WORDS);
                let stand_in = stand_in.start().await?;
                let base = format!("{}/v1", stand_in.url()).parse()?;
                Ok(Self {
                    stand_in: Some(stand_in),
                    name: "the stand-in".to_owned(),
                    ..Self::new(&base, key, true)?
                })
            }
        }
    }

    fn new(base: &Uri, key: UpstreamKey, http2: bool) -> Result<Self, BoxError> {
        let (scheme, host) = base
            .scheme()
            .zip(base.authority())
            .ok_or("an API has an address")?;
        let path = base.path().trim_end_matches('/');
        let without = path.strip_suffix("/v1");
        let prefix = without.unwrap_or(path);
        Ok(Self {
            name: format!("{scheme}://{host}{prefix}"),
            scheme: scheme.clone(),
            host: host.clone(),
            prefix: prefix.to_owned(),
            versioned: without.is_some(),
            key,
            http2,
            stand_in: None,
        })
    }

    /// The stand-in, if the gateway started one.
    pub(crate) fn stand_in(&self) -> Option<&StandIn> {
        self.stand_in.as_ref()
    }

    /// Its name for people: its address without the version.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The base URL of its first version.
    pub(crate) fn base(&self) -> String {
        format!("{}://{}{}/v1", self.scheme, self.host, self.prefix)
    }

    /// Whether the connection is unencrypted, so that the key can be read on the way.
    pub(crate) fn is_overheard(&self) -> bool {
        self.key.is_set() && self.scheme == Scheme::HTTP && !is_loopback(self.host.host())
    }

    /// The upstream address of a program's request, or `None` if it asks for no path. Some SDKs expect a base URL that
    /// ends with `/v1` and some expect one without; both lead to the same address.
    ///
    /// The host is always the API's, because the request has the key in it.
    pub(crate) fn address(&self, asked: &PathAndQuery) -> Option<Uri> {
        let path = asked.path();
        // HTTP/1 allows `*`, and HTTP/2 anything at all.
        if !path.starts_with('/') {
            return None;
        }
        let version = match self.versioned && !has_version(path) {
            true => "/v1",
            false => "",
        };
        let query = asked.query().and_then(path::without_credentials);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.host.clone())
            .path_and_query(format!("{}{version}{path}{query}", self.prefix))
            .build()
            .ok()
    }
}

/// Whether the path begins with a version: `/v1/...`, `/v2/...`.
fn has_version(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    let digits = first.and_then(|first| first.strip_prefix('v'));
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

const TOGETHER: &str = "https://api.together.ai/v1";
const BETWEEN_WORDS: Duration = Duration::from_millis(150);
const NO_DEMO: &str = "--demo makes up traffic, which would cost money with a key: \
     leave it out, or unset TOGETHER_API_KEY";
