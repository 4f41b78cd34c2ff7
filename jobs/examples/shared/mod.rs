//! The server that the examples send to, and their client.

mod progress;
mod proxy;

use std::{env, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use together_standin::{Jobs, StandIn};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_together::{Limiter, TogetherLayer, jobs::JobsApi};

use self::proxy::Proxies;

pub(crate) use self::progress::{Progress, say};

/// The exit status: 0, 1 if something failed, or 2 if nothing could work at all.
pub(crate) fn exit(ended: Result<bool, BoxError>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// One type for whatever service there is.
pub(crate) type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// Together with `TOGETHER_API_KEY`, an address that is given, or else a stand-in that is started here.
pub(crate) struct Target {
    pub(crate) base: String,
    key: String,
    /// Whether it is in a hurry: its jobs take seconds instead of hours.
    pub(crate) quick: bool,
    stand_in: Option<StandIn>,
}

impl Target {
    pub(crate) async fn choose(base: Option<String>, jobs: Jobs) -> Result<Self, BoxError> {
        let key = env::var("TOGETHER_API_KEY").unwrap_or_default();
        let (base, stand_in) = match base {
            Some(base) => (base, None),
            None if !key.is_empty() => ("https://api.together.ai/v1".to_owned(), None),
            None => {
                let stand_in = StandIn::builder().jobs(jobs).start().await?;
                (format!("{}/v1", stand_in.url()), Some(stand_in))
            }
        };
        Ok(Self {
            quick: key.is_empty(),
            key: if key.is_empty() {
                "none".to_owned()
            } else {
                key
            },
            base,
            stand_in,
        })
    }

    /// Whether it is a stand-in that was started here, and that nobody can ask again later.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.stand_in.is_some()
    }

    /// The API over the layers and a client: any client that is a tower service will do.
    pub(crate) fn api(&self, limiter: &Limiter) -> Result<JobsApi<Client>, BoxError> {
        let proxies = Proxies::from_env();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(proxies.clone().connector(tcp));
        let client =
            legacy::Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let client = ServiceBuilder::new()
            .map_request(move |request| proxies.authorized(request))
            .service(client);
        let client = ServiceBuilder::new()
            .layer(TogetherLayer::from(limiter.clone()))
            .timeout(Duration::from_secs(60))
            .service(client)
            .and_then(async |response: Response<_>| {
                let (head, body) = response.into_parts();
                let body = BodyExt::collect(body).await?.to_bytes();
                Ok(Response::from_parts(head, Full::new(body)))
            });
        let api = JobsApi::new(BoxCloneSyncService::new(client))
            .with_base(&self.base)?
            .with_key(&self.key)?;
        Ok(match self.quick {
            true => api.with_interval(Duration::from_millis(100)),
            false => api,
        })
    }
}
