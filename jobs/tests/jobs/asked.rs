//! A server in virtual time that notes what it is asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{BoxError, Service, service_fn};

/// The requests that a server received, and the second of each.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<Vec<(String, u64)>>>);

impl Received {
    /// The seconds at which this was requested.
    pub(crate) fn at(&self, what: &str) -> Vec<u64> {
        let asked = self.0.lock().unwrap();
        let same = asked.iter().filter(|(other, _)| other == what);
        same.map(|(_, second)| *second).collect()
    }
}

/// A server that responds as `response` says, given method and path, and the number of this request among
/// those. `None` breaks the connection, and a status of 0 refuses the connection.
#[expect(clippy::disallowed_methods, reason = "virtual time")]
pub(crate) fn server(
    response: impl Fn(&str, usize) -> Option<(u16, &'static str)> + Clone,
) -> (
    impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError> + Clone,
    Received,
) {
    let (asked, start) = (Received::default(), Instant::now());
    let noted = asked.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let what = format!("{} {}", request.method(), request.uri().path());
        let response = response(&what, noted.at(&what).len() + 1);
        let second = start.elapsed().as_secs();
        noted.0.lock().unwrap().push((what, second));
        async move {
            let (status, body) = response.ok_or("the connection broke")?;
            if status == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
            }
            let response = Response::builder().status(status).body(Full::from(body));
            Ok::<_, BoxError>(response?)
        }
    });
    (service, asked)
}
