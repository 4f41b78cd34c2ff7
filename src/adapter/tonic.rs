use std::{any::Any, error::Error};

use tonic::{ConnectError, Status, body::Body, transport};

use crate::{
    body::{Kept, ReplayBuffer, RequestBody, replay},
    words::extension::Failure,
};

impl RequestBody for Body {
    type Again = Option<Kept<Body>>;

    fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again) {
        replay::record(self, memory, Body::new, given_up)
    }

    fn again(kept: &Self::Again) -> Option<Self> {
        Some(Body::new(kept.as_ref()?.again()?))
    }
}

fn given_up() -> Option<Status> {
    replay::given_up().map(|error: Box<dyn Error + Send + Sync>| Status::from_error(error))
}

/// Casts to an error of tonic's channel.
pub(super) fn error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    Some(any.downcast_ref::<transport::Error>()?)
}

/// Classifies an error of tonic, if it is known.
pub(super) fn failure_of(error: &(dyn Error + 'static)) -> Option<Failure> {
    // Any cause counts: a connection that is lost later ends with a different error.
    error.is::<ConnectError>().then_some(Failure::NotSent)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tower_service::Service;

    use super::*;
    use crate::adapter::failure;

    #[test]
    fn an_upload_that_is_given_up_says_so() {
        assert!(given_up().unwrap().message().contains("given up"));
    }

    #[tokio::test]
    async fn a_call_without_a_connection_was_not_sent() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let mut channel = transport::Endpoint::from_shared(url.clone())
            .unwrap()
            .connect_lazy();
        std::future::poll_fn(|cx| channel.poll_ready(cx))
            .await
            .unwrap();
        let request = http::Request::post(url).body(Body::empty()).unwrap();
        let error = channel.call(request).await.unwrap_err();
        assert_eq!(failure(&error), Ok(Failure::NotSent));
    }
}
