use std::{
    any::Any,
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use reqwest::Body;

use crate::body::{Kept, ReplayBuffer, RequestBody, replay};

/// The data from which a body is built again.
pub struct Again(Kind);

enum Kind {
    Bytes(Bytes),
    Recorded(Kept<Body>),
    Not,
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").finish_non_exhaustive()
    }
}

/// A body in memory is read, and cloned by reference count. A stream is recorded while it is sent.
impl RequestBody for Body {
    type Again = Again;

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.as_bytes().map(read)
    }

    fn replayable(self, memory: &ReplayBuffer) -> (Self, Again) {
        match in_memory(self) {
            Ok(bytes) => (bytes.clone().into(), Again(Kind::Bytes(bytes))),
            Err(stream) => {
                let (body, kept) = replay::record(stream, memory, Self::wrap, given_up);
                (body, Again(kept.map_or(Kind::Not, Kind::Recorded)))
            }
        }
    }

    fn again(kept: &Again) -> Option<Self> {
        match &kept.0 {
            Kind::Bytes(bytes) => Some(bytes.clone().into()),
            Kind::Recorded(kept) => Some(Self::wrap(kept.again()?)),
            Kind::Not => None,
        }
    }
}

/// The bytes of a body in memory, without a copy. Other bodies are returned as they are.
fn in_memory(mut body: Body) -> Result<Bytes, Body> {
    match body.as_bytes() {
        None => Err(body),
        Some([]) => Ok(Bytes::new()),
        // The only accessor is by reference; but the bytes are the body's only frame.
        Some(_) => Ok(frame(&mut body)
            .and_then(Result::ok)
            .and_then(|frame| frame.into_data().ok())
            .expect("a body in memory is one frame of data")),
    }
}

fn frame(body: &mut Body) -> Option<Result<Frame<Bytes>, reqwest::Error>> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => None,
    }
}

/// Only reqwest can make its errors, so this takes one from a failing body.
fn given_up() -> Option<reqwest::Error> {
    struct GivenUp(Option<io::Error>);

    impl http_body::Body for GivenUp {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(self.0.take().map(Err))
        }
    }

    frame(&mut Body::wrap(GivenUp(replay::given_up())))?.err()
}

/// Casts to an error of reqwest or its wrappers.
pub(super) fn error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    #[cfg(feature = "reqwest-middleware")]
    if let Some(error) = any.downcast_ref::<reqwest_middleware::Error>() {
        return Some(error);
    }
    Some(any.downcast_ref::<reqwest::Error>()?)
}

/// Why the error is permanent, if it is. Other errors are judged by their sources.
pub(super) fn lasting(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let error = error.downcast_ref::<reqwest::Error>()?;
    match (error.is_builder(), error.is_redirect()) {
        (true, _) => Some("the request cannot be made: check its URL and headers"),
        (_, true) => Some("the server redirects too often, or to nowhere: check the base URL"),
        _ => None,
    }
}

/// The error that caused `error`, where that is not its source.
#[cfg(feature = "reqwest-middleware")]
pub(super) fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    use reqwest_middleware::Error;

    // A "transparent" error returns the source of the error it wraps.
    match error.downcast_ref::<Error>()? {
        Error::Reqwest(error) => Some(error),
        Error::Middleware(error) => Some(error.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::{adapter::failure, words::extension::Failure};

    #[tokio::test]
    async fn bytes_stay_in_memory_and_a_stream_is_recorded() {
        let memory = ReplayBuffer::default();
        for bytes in ["abc", ""] {
            let (body, kept) = Body::from(bytes).replayable(&memory);
            assert_eq!(body.as_bytes(), Some(bytes.as_bytes()));
            let mut again = Body::again(&kept).unwrap();
            assert_eq!(again.peek(<[u8]>::to_vec), Some(bytes.into()));
        }
        let stream = || {
            let frame = |data| Ok::<_, io::Error>(Frame::data(Bytes::from_static(data)));
            let frames = [frame(b"abc".as_slice()), frame(b"def".as_slice())];
            Body::wrap(StreamBody::new(futures::stream::iter(frames)))
        };
        let (mut body, kept) = stream().replayable(&memory);
        assert_eq!(body.peek(<[u8]>::to_vec), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdef");
        let again = Body::again(&kept).unwrap().collect().await;
        assert_eq!(again.unwrap().to_bytes(), "abcdef");
        // If it exceeds the buffer, it is sent once.
        let (body, kept) = stream().replayable(&ReplayBuffer::new(5, 5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdef");
        assert!(Body::again(&kept).is_none());
    }

    #[test]
    fn an_upload_that_is_given_up_says_so() {
        let error = given_up().unwrap();
        assert!(error.is_body(), "{error:?}");
        assert!(error.source().unwrap().to_string().contains("given up"));
    }

    #[tokio::test]
    async fn a_timeout_of_the_client_is_known_for_it() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let soon = std::time::Duration::from_millis(20);
        let error = client.get(url).timeout(soon).send().await.unwrap_err();
        assert_eq!(failure(&error), Ok(Failure::TimedOut));
    }

    #[tokio::test]
    async fn an_error_that_comes_each_time_is_known_for_it() {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let wrong = client.get("nonsense://host").send().await.unwrap_err();
        assert!(failure(&wrong).is_err());
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let refused = || async { client.get(&url).send().await.unwrap_err() };
        assert_eq!(failure(&refused().await), Ok(Failure::NotSent));
        #[cfg(feature = "reqwest-middleware")]
        {
            use reqwest_middleware::Error;
            let around = Error::Reqwest(refused().await);
            assert_eq!(failure(&around), Ok(Failure::NotSent));
            let within = Error::middleware(refused().await);
            assert_eq!(failure(&within), Ok(Failure::NotSent));
            let other = Error::middleware(io::Error::other("no"));
            assert_eq!(failure(&other), Ok(Failure::Interrupted));
        }
    }
}
