//! Lists of jobs and files, read to their end.

use std::collections::HashSet;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tower_service::Service;
use tower_together::jobs::{JobsApi, read_json};

use crate::{
    call::{Tolerance, call, patiently},
    failure::{BoxError, Failure},
};

/// Reads each object of the list at `path`, in its order, page by page.
///
/// # Errors
///
/// If a page cannot be read or has no list, or if the list has more than 100,000 objects. An object that was
/// not read could be the one that is looked for, so what was read until then does not count.
pub(crate) async fn each<S, R>(
    api: &JobsApi<S>,
    path: &str,
    patience: Tolerance,
    mut see: impl FnMut(&Value),
) -> Result<(), Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut seen = HashSet::new();
    let mut page = path.to_owned();
    loop {
        let ask = || call(api, Method::GET, &page, None, MOST_BYTES, read);
        let Page { objects, more } = patiently(api.interval(), patience, ask).await?;
        let before = seen.len();
        let mut last = None;
        for object in &objects {
            let Some(id) = object["id"].as_str() else {
                continue;
            };
            if seen.insert(id.to_owned()) {
                see(object);
            }
            last = Some(id).filter(|id| is_plain(id)).or(last);
        }
        // A server may say for ever that there is more.
        if !more || seen.len() == before {
            return Ok(());
        }
        page = match last {
            Some(id) if seen.len() < MOST => format!("{path}?after={id}"),
            _ => return Err(Failure::wrong(format!("{path} cannot be read to its end"))),
        };
    }
}

struct Page {
    objects: Vec<Value>,
    more: bool,
}

fn read(body: &Bytes) -> Result<Page, String> {
    let (list, more) = match read_json(body) {
        Ok(Value::Object(mut page)) => (page.remove("data"), page.get("has_more").cloned()),
        Ok(list) => (Some(list), None),
        Err(_) => (None, None),
    };
    match list {
        Some(Value::Array(objects)) => Ok(Page {
            objects,
            more: more == Some(Value::Bool(true)),
        }),
        _ => Err("the response has no list; check the base URL, which ends with /v1".to_owned()),
    }
}

/// Whether an id can be written in a URL as it is.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.bytes().all(plain)
}

/// Objects of a list: what a server lists has an end.
const MOST: usize = 100_000;

/// Bytes of a page: thousands of fine-tunes with their events.
const MOST_BYTES: usize = 16 << 20;
