use std::{fmt, future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{AUTHORIZATION, USER_AGENT},
    request,
};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tower_service::Service;

use super::JobsError;
use crate::{
    limiter::JobBook,
    words::{ApiError, Endpoint, Error, Rejected, extension::AsksForJobs},
};

/// The server, service and key used to read the states of jobs.
#[derive(Clone)]
pub struct JobsApi<S> {
    service: S,
    base: String,
    key: Option<HeaderValue>,
    interval: Duration,
}

impl<S> JobsApi<S> {
    /// Uses Together's API without a key, through a service that passes through the limiter. For services that add
    /// the key themselves.
    pub fn new(service: S) -> Self {
        Self {
            service,
            base: "https://api.together.ai/v1".to_owned(),
            key: None,
            interval: Duration::from_secs(30),
        }
    }

    /// Uses another server, at `https://HOST/v1`.
    ///
    /// # Errors
    ///
    /// If `base` is not such an address.
    pub fn with_base(mut self, base: &str) -> Result<Self, Error> {
        let uri: Option<Uri> = base.parse().ok();
        let scheme = uri.as_ref().and_then(|uri| uri.scheme_str());
        if !matches!(scheme, Some("http" | "https")) {
            return Err(Error::api("a base URL is written as https://HOST/v1"));
        }
        self.base = base.trim_end_matches('/').to_owned();
        Ok(self)
    }

    /// Sends `key` as `authorization: Bearer KEY`. Use the key of the requests that create the jobs.
    ///
    /// # Errors
    ///
    /// If `key` contains characters that a header must not contain.
    pub fn with_key(mut self, key: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim()))
            .map_err(|_| Error::api("a key is letters, digits and signs, without line breaks"))?;
        // Sensitive, so that no output of headers shows it.
        value.set_sensitive(true);
        self.key = Some(value);
        Ok(self)
    }

    /// The interval between requests is random, from `interval` to twice that. Default: 30 s, as Together asks:
    /// "poll every 30 to 60 seconds" (docs.together.ai/docs/inference/batch/manage).
    ///
    /// # Panics
    ///
    /// If `interval` is zero, or more than a day.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        assert!(
            !interval.is_zero() && interval <= DAY,
            "the polling interval must be above zero and at most a day: write 30 s"
        );
        self.interval = interval;
        self
    }

    /// Builds a request for a path below the base, such as `batches`. It has the key and a `user-agent`, since
    /// Cloudflare, in front of the API, rejects requests without one. Its extensions state its [`Endpoint`], so that
    /// the layers classify it whatever path the base has.
    pub fn request(&self, method: Method, path: &str) -> request::Builder {
        let endpoint = Endpoint::of(&method, &format!("/{path}"));
        let builder = Request::builder()
            .method(method)
            .extension(endpoint)
            .uri(format!("{}/{path}", self.base))
            .header(USER_AGENT, US);
        match &self.key {
            Some(key) => builder.header(AUTHORIZATION, key),
            None => builder,
        }
    }

    /// The endpoint of a request to this API: the stated one, or else the one for its path after the base, which may
    /// have a prefix.
    pub fn endpoint<B>(&self, request: &Request<B>) -> Endpoint {
        if let Some(stated) = request.extensions().get() {
            return *stated;
        }
        let path = request.uri().path();
        let base = self.base.parse::<Uri>();
        let below = base.ok().and_then(|base| path.strip_prefix(base.path()));
        let below = below.filter(|below| below.starts_with('/'));
        Endpoint::of(request.method(), below.unwrap_or(path))
    }

    /// The minimum interval between requests; the maximum is twice that.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// This API over another service.
    pub fn over<T>(&self, service: T) -> JobsApi<T> {
        JobsApi {
            service,
            base: self.base.clone(),
            key: self.key.clone(),
            interval: self.interval,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.service
    }

    /// Reads the response at a path below the base.
    pub(super) async fn get<B, R>(
        &mut self,
        path: &str,
    ) -> Result<(JobBook, Bytes), JobsError<S::Error>>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: Default,
        R: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let request = self.request(Method::GET, path).extension(AsksForJobs);
        let request = request.body(B::default());
        let request = request.map_err(|_| JobsError::Unreadable)?;
        let service = &mut self.service;
        poll_fn(|cx| service.poll_ready(cx))
            .await
            .map_err(JobsError::Service)?;
        let response = service.call(request).await.map_err(JobsError::Service)?;
        let (head, body) = response.into_parts();
        if let Some(rejected) = head.extensions.get::<Rejected>() {
            return Err(JobsError::Rejected(rejected.clone()));
        }
        let book = head.extensions.get::<JobBook>().cloned();
        // Read to the end, since the layer reads the body at its end too.
        let body = Limited::new(body, MOST).collect().await;
        let body = body.map_err(|_| JobsError::Unreadable)?.to_bytes();
        if !head.status.is_success() {
            let error = ApiError::parse(head.status, &head.headers, &body);
            return Err(JobsError::Answered(error));
        }
        Ok((book.ok_or(JobsError::NotLimited)?, body))
    }
}

/// Shows no key.
impl<S> fmt::Debug for JobsApi<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobsApi")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

const US: &str = concat!("tower-together/", env!("CARGO_PKG_VERSION"));

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Maximum bytes of a response: a list of some thousands of jobs.
const MOST: usize = 16 << 20;
