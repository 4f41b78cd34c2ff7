//! Where requests go, and what is known of those that arrived.

use std::{env, net::IpAddr};

use http::{HeaderValue, Uri};
use together_standin::StandIn;
use tower::BoxError;

use crate::{
    args::Args,
    traffic::{Log, Traffic},
};

/// The server that embeds.
pub(crate) struct Target {
    /// How it is called in the output, so that vectors of two servers are never mixed.
    pub(crate) name: String,
    /// Where it takes texts.
    pub(crate) embeddings: Uri,
    /// The `Authorization` it gets.
    pub(crate) key: HeaderValue,
    /// What we sent it.
    pub(crate) log: Log,
    stand_in: Option<StandIn>,
}

impl Target {
    /// Together with a key, the stand-in without, and anything else that is asked for.
    pub(crate) async fn choose(args: &Args) -> Result<Self, BoxError> {
        let key = env::var("TOGETHER_API_KEY").unwrap_or_default();
        let base = match (&args.base_url, key.as_str()) {
            (Some(url), _) => url.as_str(),
            (None, "") => {
                let stand_in = StandIn::start().await?;
                return Ok(Self {
                    name: "the stand-in".to_owned(),
                    ..Self::new(&format!("{}/v1", stand_in.url()), "", Some(stand_in))?
                });
            }
            (None, _) => "https://api.together.ai/v1",
        };
        Self::new(base, &key, None)
    }

    fn new(base: &str, key: &str, stand_in: Option<StandIn>) -> Result<Self, BoxError> {
        let base = base.trim_end_matches('/');
        let embeddings: Uri = format!("{base}/embeddings").parse()?;
        let host = embeddings.host().unwrap_or_default();
        let key = match key {
            "" if is_loopback(host) => "none",
            "" => {
                return Err(format!("{base} wants a key: put it in TOGETHER_API_KEY").into());
            }
            key => key,
        };
        let mut key = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| "TOGETHER_API_KEY holds what no header may")?;
        // Not to be shown by anything that shows headers.
        key.set_sensitive(true);
        Ok(Self {
            name: base.to_owned(),
            embeddings,
            key,
            log: Log::new(),
            stand_in,
        })
    }

    /// What arrived: as the stand-in counted it, or else as we did.
    pub(crate) fn traffic(&self) -> Traffic {
        let Some(stand_in) = &self.stand_in else {
            return self.log.traffic();
        };
        let stats = stand_in.stats();
        let arrivals = stand_in.arrivals().into_iter();
        Traffic {
            requests: stats.arrived,
            refused: stats.refused,
            arrivals: arrivals.map(|one| (one.at, one.accepted)).collect(),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|ip: IpAddr| ip.is_loopback())
}
