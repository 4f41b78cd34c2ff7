//! Rejections by the limiter, worded for a program's author, who cannot change the gateway's settings.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use tower_together::{Rejected, limiter::Reason};

use crate::error;

/// The limiter's response with another message.
pub(crate) fn reword(response: Response<Body>, max_wait: Duration) -> Response<Body> {
    let kind = match response.status() {
        StatusCode::BAD_REQUEST => "invalid_request_error",
        StatusCode::SERVICE_UNAVAILABLE => "gateway_closed",
        _ => "local_rate_limited",
    };
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    match Rejected::of(response.extensions()) {
        // A gRPC rejection has its message in a header, and no body.
        Some(rejected) if is_json => {
            let reason = rejected.reason();
            let message = message(reason, max_wait);
            let body = Body::from(error::json(kind, reason.name(), &message));
            response.map(|_| body)
        }
        _ => response,
    }
}

fn message(reason: Reason, max_wait: Duration) -> String {
    match reason {
        Reason::Deadline => {
            "this call's turn would not come before its client's timeout: send fewer \
             calls, or give the client a longer timeout"
                .to_owned()
        }
        Reason::MaxWait => format!(
            "this call's turn would not come within {max_wait:?}, which is the longest that this gateway \
             lets a call wait: send fewer calls, or retry later"
        ),
        Reason::QueueFull => {
            "as many calls as this gateway has room for wait already: retry later".to_owned()
        }
        Reason::NeverFits => {
            "this call costs more tokens than this gateway may send in a whole window: \
             make its prompt or its response shorter"
                .to_owned()
        }
        Reason::RedisAway => {
            "Redis, which shares the limits with other gateways, does not reply: retry".to_owned()
        }
        Reason::Closed => "this gateway is restarting, and nothing was sent: retry".to_owned(),
        _ => "this gateway cannot send this call now: retry later".to_owned(),
    }
}
