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

/// Finds the running jobs of a kind. The layer itself frees the slots of ended jobs as the responses pass. Here
/// unknown running jobs take slots, including those that the server has restarted under another id.
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
        if !limiter.owns(&book) {
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
    book.listed(kind, asked);
    // A job in no list may be too old for it, or deleted.
    for id in book.held(kind) {
        if seen.contains(&id) || !is_plain(&id) {
            continue;
        }
        match api.get(&format!("{}/{id}", kind.path())).await {
            // The layer has read the response as it passed.
            Ok(_) => {}
            Err(JobsError::Answered(error)) if error.status() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(book)
}

/// Whether an id can be part of a URL without escapes.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.bytes().all(plain)
}

/// Maximum jobs read from a list. They are the newest, which include those that run.
const MOST: usize = 10_000;
