//! Statuses of transient errors: one table for everything that retries.

use http::StatusCode;

pub(crate) fn is_transient(status: StatusCode) -> bool {
    TRANSIENT.contains(&status.as_u16())
}

/// 408, 429, and 5xx except permanent ones, such as 501 and 505. The official SDKs retry 408, 409, 429 and
/// all of 5xx (together 3.1.1, `_base_client.py`). Every known 409 is final.
///
/// 500 is transient because Together says "try again after a brief wait" (docs.together.ai/docs/error-codes).
/// 520 to 525 and 530 are Cloudflare's, for an origin that is down or unreachable. Its 526 is an invalid
/// certificate. 529 is an overloaded server.
const TRANSIENT: [u16; 14] = [
    408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 529, 530,
];
