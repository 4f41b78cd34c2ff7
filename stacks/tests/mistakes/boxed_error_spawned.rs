//~ fails: none
//~ says: higher-ranked lifetime error
//~ says: could not prove `{async block@

//! A task that sends through a service whose type names `Box<dyn Error>` (rust-lang/rust#102211).

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};
use tower_together::TogetherLayer;

type Inner = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

pub fn send(inner: Inner, request: Request<Full<Bytes>>) {
    let client = TogetherLayer::default().layer(inner);
    tokio::spawn(async move {
        let _ = client.oneshot(request).await;
    });
}

fn main() {}
