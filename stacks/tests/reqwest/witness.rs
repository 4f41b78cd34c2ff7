//! A third party's middleware.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tower_together::extension::{Attempt, Deadline};

/// Records everything that passes, and marks requests and responses.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The number of first calls that it fails itself.
    fails: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) bodiless: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) mark: Option<Mark>,
    pub(crate) attempt: Option<u32>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) status: Option<StatusCode>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark(pub(crate) &'static str);

#[tonic::async_trait]
impl Middleware for Witness {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let copy = request.try_clone().expect("it lies in memory");
        let copy = http::Request::<reqwest::Body>::try_from(copy).unwrap();
        let attempt = copy.extensions().get::<Attempt>();
        let mut seen = Seen {
            url: request.url().to_string(),
            bodiless: request.body().is_none(),
            timeout: request.timeout().copied(),
            mark: extensions.get().cloned(),
            attempt: attempt.map(|attempt| attempt.number()),
            deadline: copy.extensions().get().copied(),
            status: None,
        };
        let number = {
            let mut all = self.seen.lock().unwrap();
            all.push(seen.clone());
            all.len()
        };
        extensions.insert(Count(number));
        if number <= self.fails {
            return Err(Error::middleware(io::Error::other("of its own")));
        }
        let response = next.run(request, extensions).await?;
        seen.status = Some(response.status());
        self.seen.lock().unwrap()[number - 1] = seen;
        Ok(response)
    }
}

impl Witness {
    pub(crate) fn failing(fails: usize) -> Self {
        let seen = Arc::default();
        Self { seen, fails }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// The extension that the innermost middleware leaves for those outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Count(pub(crate) usize);
