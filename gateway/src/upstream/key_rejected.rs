//! Rejections of the gateway's key by the API. They are told apart from a program's errors, and reported to the
//! gateway's operator.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{Response, StatusCode};
use tokio::time::Instant;
use tower_together::ApiError;

use crate::{error, say::say};

/// When the rejection was last reported on standard error.
#[derive(Default)]
pub(crate) struct Complaint(Mutex<Option<Instant>>);

/// Whether the error is about the key. A 403 shows this only in its message: it may also mean that a prompt is too long
/// or a model is restricted, which the program has to know.
pub(crate) fn is_about_key(error: &ApiError) -> bool {
    match error.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => {
            let named = [error.code(), error.kind(), Some(error.message())];
            let said = named.map(|said| said.unwrap_or_default().to_ascii_lowercase());
            said.iter()
                .any(|said| OF_KEYS.iter().any(|words| said.contains(words)))
        }
        _ => false,
    }
}

/// Replaces a 401, which would tell the program that its own key is wrong, and quote the gateway's.
pub(crate) fn response(name: &str, status: StatusCode) -> Response<Body> {
    error::lasting(
        StatusCode::BAD_GATEWAY,
        "gateway_key_refused",
        &format!(
            "{name} rejects the gateway's own key ({status}), not yours: whoever runs the gateway \
             must check its TOGETHER_API_KEY"
        ),
    )
}

impl Complaint {
    /// Reports the rejection unless it was reported recently: there may be a thousand such responses a second.
    pub(crate) fn make(&self, name: &str, status: StatusCode) {
        let now = now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN) {
            return;
        }
        *last = Some(now);
        say(&format!(
            "{name} rejects the gateway's key ({status}): check TOGETHER_API_KEY and its account, \
             and start again"
        ));
    }
}

#[expect(clippy::disallowed_methods, reason = "people read it in real time")]
fn now() -> Instant {
    Instant::now()
}

const OF_KEYS: [&str; 5] = ["api key", "api_key", "api-key", "apikey", "authentication"];
const BETWEEN: Duration = Duration::from_secs(60);
