//! A request's body, read ahead.
//!
//! A body that streams by cannot be looked at, and its model is what tells lanes apart: so of calls
//! that name one, as much is read before they get in line as such a call usually has. Whoever sends
//! slowly therefore does so before its turn, and holds nothing; and a program that hangs up while
//! its call waits is noticed, because nothing of it is left unread.

use std::{borrow::Cow, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use tokio::time::timeout;
use tower_together::{Endpoint, extension::Model};

use crate::error;

/// Whether the body is to be read ahead.
pub(crate) fn names_model(endpoint: Endpoint, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    // Audio comes as a form, and is large.
    let form = kind.is_some_and(|kind| kind.starts_with(b"multipart/"));
    endpoint.takes_model() && !form
}

/// The same body, and the model it names.
pub(crate) async fn read_ahead(body: Body) -> Result<(Body, Option<Model>), Response<Body>> {
    let mut rest = body.into_data_stream();
    let mut read = BytesMut::new();
    let reading = async {
        while read.len() < AHEAD {
            match rest.next().await {
                Some(bytes) => read.extend_from_slice(&bytes?),
                None => return Ok(true),
            }
        }
        Ok(false)
    };
    let whole = match timeout(SLOWEST, reading).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(error)) => return Err(broken(&error)),
        Err(_) => return Err(slow()),
    };
    let read = read.freeze();
    let model = model(&read);
    let body = match whole {
        true => Body::from(read),
        false => Body::from_stream(stream::iter([Ok(read)]).chain(rest)),
    };
    Ok((body, model))
}

/// The `model` of a JSON object; what is none is the API's to complain about.
fn model(body: &Bytes) -> Option<Model> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Cow<'a, str>,
    }
    let named: Named<'_> = serde_json::from_slice(body).ok()?;
    let known = 1..=LONGEST_NAME;
    known
        .contains(&named.model.len())
        .then(|| Model::new(&*named.model))
}

fn broken(error: &axum::Error) -> Response<Body> {
    let message = format!("the request's body broke off: {error}");
    error::answer(StatusCode::BAD_REQUEST, "body_broken", &message)
}

fn slow() -> Response<Body> {
    error::answer(
        StatusCode::REQUEST_TIMEOUT,
        "body_too_slow",
        "the request's body did not arrive within a minute: send it faster, or less",
    )
}

/// Half a million tokens of prompt. What is longer streams by from there on, without its model.
const AHEAD: usize = 1024 * 1024;
const SLOWEST: Duration = Duration::from_secs(60);
/// No model has a longer one, and it is shown.
const LONGEST_NAME: usize = 256;
