//! Where the examples send to, and with what.

use std::{env, io::Write as _, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy, rt::TokioExecutor};
use indicatif::{ProgressBar, ProgressStyle};
use together_standin::{Jobs, StandIn};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_together::{Limiter, TogetherLayer, jobs::JobsApi};

/// One type for whatever service there is.
pub(crate) type Client = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// Together with `TOGETHER_API_KEY`, an address that is given, or else a stand-in that is started here.
pub(crate) struct Target {
    base: String,
    key: String,
    /// Whether it is in a hurry: its jobs take seconds instead of hours.
    pub(crate) quick: bool,
    _stand_in: Option<StandIn>,
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
            _stand_in: stand_in,
        })
    }

    /// What all is sent through: any client that is a tower service will do.
    pub(crate) fn api(&self, limiter: &Limiter) -> Result<JobsApi<Client>, BoxError> {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let client =
            legacy::Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let client = ServiceBuilder::new()
            .layer(TogetherLayer::from(limiter.clone()))
            .timeout(Duration::from_secs(60))
            .service(client)
            .and_then(async |answer: Response<_>| {
                let (head, body) = answer.into_parts();
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

/// One more is done. Where nobody sees a bar, a line says so now and then.
pub(crate) fn step(bar: &ProgressBar) {
    bar.inc(1);
    let (done, all) = (bar.position(), bar.length().unwrap_or_default());
    if bar.is_hidden() && done % (all / 10).max(1) == 0 {
        say(bar, &format!("{done} of {all}"));
    }
}

/// A line above the bar.
pub(crate) fn say(bar: &ProgressBar, line: &str) {
    // With no screen there is nobody to tell.
    bar.suspend(|| {
        std::io::stderr()
            .write_all(format!("{line}\n").as_bytes())
            .ok()
    });
}

/// A bar that says how many are done, how fast, and how long it will take.
pub(crate) fn bar(all: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos} of {len}, {per_sec}, {eta} left");
    let bar = ProgressBar::new(all as u64).with_style(style.expect("a template that is right"));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}
