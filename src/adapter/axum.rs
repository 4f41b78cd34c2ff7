use axum_core::body::Body;

use crate::body::RequestBody;

impl RequestBody for Body {
    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }
}
