use hyper::body::Incoming;

use crate::body::RequestBody;

impl RequestBody for Incoming {
    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }
}
