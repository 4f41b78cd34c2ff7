//~ fails: E0277
//~ says: BoxService<
//~ says: the trait `Clone` is not implemented

//! An inner service that cannot be cloned, in a `ServiceBuilder`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Service, ServiceBuilder, util::BoxService};
use tower_together::TogetherLayer;

type Inner = BoxService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

pub fn client(inner: Inner) -> impl Service<Request<Full<Bytes>>> {
    ServiceBuilder::new()
        .layer(TogetherLayer::default())
        .service(inner)
}

fn main() {}
