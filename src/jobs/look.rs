use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::{JobsApi, JobsError};
use crate::{
    limiter::{JobBook, Limiter},
    wire,
    words::JobKind,
};

/// Finds out which jobs of a kind run. The layer itself frees the slots of those that have ended, as
/// the answers pass; here those that it did not know of get one, among them such as the server has
/// started again under another id.
pub(super) async fn look<S, B, R>(
    limiter: &Limiter,
    api: &mut JobsApi<S>,
    kind: JobKind,
) -> Result<JobBook, JobsError<S::Error>>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Default,
    R: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let asked = limiter.now();
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut page = kind.path().to_owned();
    let book = loop {
        let (book, body) = api.get(&page).await?;
        if !book.is_of(limiter) {
            return Err(JobsError::NotLimited);
        }
        let listed = wire::response::jobs(&body).filter(|listed| listed.is_list);
        let listed = listed.ok_or(JobsError::Unreadable)?;
        let last = listed.jobs.last().map(|job| Arc::clone(&job.id));
        let mut news = false;
        for job in listed.jobs {
            if !job.ended {
                book.adopt(kind, &job);
            }
            news |= seen.insert(job.id);
        }
        match last.filter(|id| listed.more && news && is_plain(id)) {
            Some(last) if seen.len() < MOST => page = format!("{}?after={last}", kind.path()),
            _ => break book,
        }
    };
    book.named(kind, asked);
    // One that is in no list may be too old for it, or gone.
    for id in book.held(kind) {
        if seen.contains(&id) || !is_plain(&id) {
            continue;
        }
        match api.get(&format!("{}/{id}", kind.path())).await {
            // The layer has seen it pass.
            Ok(_) => {}
            Err(JobsError::Answered(error)) if error.status() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(book)
}

/// Whether an id can be written in a URL as it is.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.bytes().all(plain)
}

/// Jobs that are read of a list: enough for the newest, which those that run are among.
const MOST: usize = 10_000;
