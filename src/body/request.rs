use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::{
    Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A request body the layers can work with: looked at where it is in memory, and never changed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request body that tower-together knows",
    label = "no `RequestBody` for this body",
    note = "wrap it: `tower_together::body::Opaque::new(body)`",
    note = "for axum's `Body` enable the feature `axum`, for hyper's `Incoming` the feature `hyper`"
)]
pub trait RequestBody: Sized {
    /// Reads the whole body, if it lies in memory; `None` if it does not, or nobody can tell.
    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T>;
}

impl<D: Buf> RequestBody for Full<D> {
    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // Its data has no accessor: it is taken out as the one frame it is, and put back.
        let polled = Pin::new(&mut *self).poll_frame(&mut Context::from_waker(Waker::noop()));
        let data = match polled {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok()?,
            _ => return Some(read(&[])),
        };
        let whole = data.chunk().len() == data.remaining();
        let result = whole.then(|| read(data.chunk()));
        *self = Full::new(data);
        result
    }
}

impl<D> RequestBody for Empty<D> {
    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        Some(read(&[]))
    }
}

impl RequestBody for () {
    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        Some(read(&[]))
    }
}

/// Bodies that are nothing but their bytes.
macro_rules! in_memory {
    ($($body:ty),*) => {$(
        impl RequestBody for $body {
            fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
                Some(read(self.as_ref()))
            }
        }
    )*};
}

in_memory!(String, &'static str, Bytes, Vec<u8>);

impl<D, E> RequestBody for BoxBody<D, E> {
    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }
}

impl<D, E> RequestBody for UnsyncBoxBody<D, E> {
    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn check<B: RequestBody>(mut body: B, expected: &[u8]) -> B {
        for _ in 0..2 {
            assert_eq!(body.peek(<[u8]>::to_vec).as_deref(), Some(expected));
        }
        body
    }

    #[tokio::test]
    async fn looking_changes_nothing() {
        let full = check(Full::new(Bytes::from("abc")), b"abc");
        assert_eq!(full.collect().await.unwrap().to_bytes(), "abc");
        check(Full::<Bytes>::default(), b"");
        check(Empty::<Bytes>::new(), b"");
        check(String::from("abc"), b"abc");
        check((), b"");
        let scattered = Buf::chain(&b"ab"[..], &b"c"[..]);
        let mut scattered = Full::new(scattered);
        assert_eq!(scattered.peek(<[u8]>::to_vec), None);
        assert_eq!(scattered.collect().await.unwrap().to_bytes(), "abc");
    }
}
