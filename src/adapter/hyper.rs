use std::{any::Any, error::Error};

use hyper::body::Incoming;
use hyper_util::client::legacy;

use super::lasting::NO_HOST;
use crate::{
    body::{ReplayBuffer, RequestBody},
    words::extension::Failure,
};

/// Sent once. Wrap it in [`Opaque`](crate::body::Opaque) to have it sent again.
impl RequestBody for Incoming {
    type Again = ();

    fn replayable(self, _: &ReplayBuffer) -> (Self, ()) {
        (self, ())
    }

    fn again((): &()) -> Option<Self> {
        None
    }
}

/// Casts to an error of hyper or its clients.
pub(super) fn error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = any.downcast_ref::<legacy::Error>() {
        return Some(error);
    }
    if let Some(error) = any.downcast_ref::<hyper::Error>() {
        return Some(error);
    }
    Some(any.downcast_ref::<h2::Error>()?)
}

/// Why a hyper client's error is permanent, if it is.
pub(super) fn lasting(error: &(dyn Error + 'static)) -> Option<&'static str> {
    // The error's kind is private, but its text names it.
    let error = error.downcast_ref::<legacy::Error>()?;
    let no_host = error.to_string().contains("UserAbsoluteUriRequired");
    no_host.then_some(NO_HOST)
}

/// Classifies an error of hyper, if it is known.
pub(super) fn failure_of(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<legacy::Error>() {
        return error.is_connect().then_some(Failure::NotSent);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Nothing of a canceled request was written yet. For any other request, an HTTP/2 error below may say
        // more. An I/O error does not count: a connection lost long after it was made may report that its host
        // is unreachable. Nor does `is_user`: it includes a connection task that is gone, and a body that failed
        // is not sent again anyway.
        let source = error.source();
        return match source.is_some_and(|source| source.is::<h2::Error>()) {
            _ if error.is_canceled() => Some(Failure::NotSent),
            true => None,
            false => Some(Failure::Interrupted),
        };
    }
    let error = error.downcast_ref::<h2::Error>()?;
    // "... REFUSED_STREAM: the stream was closed prior to any processing having occurred". A GOAWAY says the
    // same of the streams that it does not name (RFC 9113, section 8.7).
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    match error.is_remote() {
        true if refused || leaving => Some(Failure::NotSent),
        // The stream or connection was sent too much (section 7), and may have processed any of it.
        true if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Failure::Throttled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Regression: it counted as a permanent error, since `is_user` is set, and a chat was not retried.
    #[tokio::test]
    async fn a_request_whose_connection_s_task_is_gone_is_interrupted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let io = TokioIo::new(stream.unwrap());
        let handshake = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(io).await;
        let (mut sender, connection) = handshake.unwrap();
        let connection = tokio::spawn(connection);
        sender.ready().await.unwrap();
        let response = tokio::spawn(sender.send_request(Request::new(Empty::new())));
        // The request has arrived, and no response follows.
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(server.read(&mut [0; 64]).await.unwrap() > 0);
        connection.abort();
        let error = response.await.unwrap().unwrap_err();
        assert!(error.is_user(), "{error:?}");
        assert_eq!(failure_of(&error), Some(Failure::Interrupted));
    }
}
