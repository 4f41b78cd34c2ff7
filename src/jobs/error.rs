use std::{error, fmt};

use http::StatusCode;

use crate::words::{ApiError, Rejected};

/// The reason why the running jobs are not known.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobsError<E> {
    /// The service failed.
    Service(E),
    /// The server responded with an error.
    Answered(ApiError),
    /// The limiter rejected the request.
    Rejected(Rejected),
    /// The response is not one of the API, is longer than 16 MiB, or is truncated.
    Unreadable,
    /// The service does not pass through this limiter, so the limiter learns nothing.
    NotLimited,
}

impl<E> JobsError<E> {
    /// Converts the service's error.
    pub fn map_service<F>(self, map: impl FnOnce(E) -> F) -> JobsError<F> {
        match self {
            Self::Service(error) => JobsError::Service(map(error)),
            Self::Answered(error) => JobsError::Answered(error),
            Self::Rejected(rejected) => JobsError::Rejected(rejected),
            Self::Unreadable => JobsError::Unreadable,
            Self::NotLimited => JobsError::NotLimited,
        }
    }

    /// A name for logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::Answered(_) => "error_response",
            Self::Rejected(_) => "rejected",
            Self::Unreadable => "unreadable",
            Self::NotLimited => "not_limited",
        }
    }

    /// Whether a retry cannot help.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::NotLimited => true,
            Self::Answered(error) => matches!(
                error.status(),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ),
            Self::Service(_) | Self::Rejected(_) | Self::Unreadable => false,
        }
    }
}

impl<E: fmt::Display> fmt::Display for JobsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not read which jobs run: ")?;
        match self {
            Self::Service(error) => write!(f, "{error}"),
            Self::Answered(error) => write!(f, "{error}"),
            Self::Rejected(rejected) => write!(f, "{rejected}"),
            Self::Unreadable => f.write_str(
                "the response is no list of jobs; check the base URL, which ends with /v1",
            ),
            Self::NotLimited => f.write_str(
                "the service does not pass through this limiter; give the one with its layer around",
            ),
        }
    }
}

impl<E: error::Error + 'static> error::Error for JobsError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Service(error) => Some(error),
            Self::Answered(error) => Some(error),
            Self::Rejected(rejected) => Some(rejected),
            Self::Unreadable | Self::NotLimited => None,
        }
    }
}
