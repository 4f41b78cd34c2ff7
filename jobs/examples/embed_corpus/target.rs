//! The server that requests go to, and the number of those that arrived.

use std::{collections::BTreeMap, env, time::Duration};

use http::Uri;
use together_standin::{Route, StandIn};
use tower::BoxError;
use tower_together_jobs::JobsApi;

use crate::{
    args::Args,
    client::How,
    proxy::is_loopback,
    traffic::{Log, Traffic},
};

/// The server that embeds.
pub(crate) struct Target {
    /// How it is called in the output, so that vectors of two servers are never mixed.
    pub(crate) name: String,
    /// Its base URL and its key.
    pub(crate) api: JobsApi<()>,
    /// The requests sent to it.
    pub(crate) log: Log,
    stand_in: Option<StandIn>,
}

impl Target {
    /// Together with a key, the stand-in without or for what only it does, and anything else that
    /// is asked for.
    pub(crate) async fn choose(args: &Args) -> Result<Self, BoxError> {
        let key = env::var("TOGETHER_API_KEY").unwrap_or_default();
        let base = match &args.base_url {
            Some(url) => url.as_str(),
            None if key.is_empty() || args.chaos.is_some() || args.moving => {
                return Self::stand_in(args).await;
            }
            None => "https://api.together.ai/v1",
        };
        Self::new(base, &key, None)
    }

    async fn stand_in(args: &Args) -> Result<Self, BoxError> {
        let mut builder = StandIn::builder();
        if args.moving {
            builder = builder.moving();
        }
        if let Some(seed) = args.chaos {
            builder = builder.chaos(seed);
        }
        let stand_in = builder.start().await?;
        Ok(Self {
            name: STAND_IN.to_owned(),
            ..Self::new(&format!("{}/v1", stand_in.url()), "", Some(stand_in))?
        })
    }

    /// Whether it is the stand-in of this program, which costs nothing.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.stand_in.is_some()
    }

    /// How to speak to it: the stand-in has no TLS to agree on HTTP/2 in, as Together does.
    pub(crate) fn how(&self, args: &Args) -> How {
        How {
            http2: self.stand_in.is_some(),
            // One of chaos's ways is not to respond at all.
            patience: if args.chaos.is_some() {
                HURRIED
            } else {
                PATIENCE
            },
        }
    }

    /// In which ways the stand-in failed on purpose, and how often.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.stand_in
            .as_ref()
            .map(StandIn::faults)
            .unwrap_or_default()
    }

    fn new(base: &str, key: &str, stand_in: Option<StandIn>) -> Result<Self, BoxError> {
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse()?;
        let key = match key {
            "" if is_loopback(uri.host().unwrap_or_default()) => "none",
            "" => {
                return Err(format!("{base} wants a key: put it in TOGETHER_API_KEY").into());
            }
            key => key,
        };
        let api = JobsApi::new(()).with_base(base)?;
        let api = api.with_key(key);
        Ok(Self {
            name: base.to_owned(),
            api: api.map_err(|_| "TOGETHER_API_KEY holds what no header may")?,
            log: Log::new(),
            stand_in,
        })
    }

    /// The share of the quota that was used: in the first minute, or in all of a run whose limit
    /// moves.
    pub(crate) fn quota_used(&self, traffic: &Traffic, args: &Args) -> f64 {
        match &self.stand_in {
            Some(stand_in) if args.moving => traffic.quota_used(Duration::MAX, |from, until| {
                let allowed = stand_in.allowed(Route::Embeddings, from, until);
                allowed.expect("a limit that moves as it is planned")
            }),
            _ => traffic.quota_used(MINUTE, |from, until| {
                PER_MINUTE * (until - from).as_secs_f64() / MINUTE.as_secs_f64()
            }),
        }
    }

    /// The traffic as the stand-in counted it, or else as this program did.
    pub(crate) fn traffic(&self) -> Traffic {
        let Some(stand_in) = &self.stand_in else {
            return self.log.traffic();
        };
        let stats = stand_in.stats();
        let arrivals = stand_in.arrivals().into_iter();
        Traffic {
            requests: stats.arrived,
            rejected: stats.refused,
            arrivals: arrivals.map(|one| (one.at, one.accepted)).collect(),
        }
    }
}

/// How the stand-in is called in the output.
pub(crate) const STAND_IN: &str = "the stand-in";
/// Twice what a slow response takes, and short enough for a run not to look stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const HURRIED: Duration = Duration::from_secs(2);
/// The limit of embeddings in `Limits::default()`, which the stand-in enforces.
const PER_MINUTE: f64 = 300.0;
const MINUTE: Duration = Duration::from_secs(60);
