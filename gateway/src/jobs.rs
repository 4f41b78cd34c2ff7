//! Watches jobs: a job outlives the program that created it, and its slot is freed when it ends all the same.

use std::{future::Future, sync::Arc};

use axum::body::Body;
use http::{Request, header::AUTHORIZATION};
use tower::{BoxError, ServiceExt};
use tower_together::jobs::{JobsApi, JobsError};

use crate::{body::ahead::Ahead, gateway::Gateway};

/// Asks for the status of all programs' jobs, while a call waits for one of them to end.
pub(crate) fn watch(gateway: Arc<Gateway>) -> Result<impl Future<Output = ()> + Send, BoxError> {
    let key = gateway.target.key.header();
    let sender = gateway.sender.clone();
    let sender = sender.map_request(move |mut request: Request<Body>| {
        request.headers_mut().insert(AUTHORIZATION, key.clone());
        request.map(Ahead::Streams)
    });
    let api = JobsApi::new(sender).with_base(&gateway.target.base())?;
    Ok(async move {
        if let Err(JobsError::Answered(error)) = gateway.limiter.watch_jobs(api).await {
            gateway
                .complaint
                .make(gateway.target.name(), error.status());
        }
    })
}
