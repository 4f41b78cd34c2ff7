use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::{
    Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};

use super::{
    ReplayBuffer, Reserved,
    replay::{self, Kept},
};

/// A request body that the layers can read, if it is in memory, and send again.
///
/// The layers keep its type, so the same client accepts it. [`Opaque`](super::Opaque) wraps any body, and records it
/// while it is sent. Implement the trait for a body that does better: one of several kinds, or one that needs no
/// record, since it can be opened again.
///
/// ```
/// use std::{io, path::Path, pin::Pin, sync::Arc, task::{Context, Poll}};
/// use bytes::Bytes;
/// use http_body::{Body, Frame};
/// use tower_together::body::{ReplayBuffer, RequestBody};
///
/// /// A file of any size. Each attempt opens it anew.
/// struct Upload {
///     path: Arc<Path>,
///     # frame: Option<Bytes>,
///     // ..
/// }
///
/// impl Upload {
///     fn open(path: Arc<Path>) -> io::Result<Self> {
///         // ..
///         # Ok(Self { frame: Some(std::fs::read(&path)?.into()), path })
///     }
/// }
///
/// impl RequestBody for Upload {
///     type Again = Arc<Path>;
///
///     fn replayable(self, _: &ReplayBuffer) -> (Self, Arc<Path>) {
///         let path = Arc::clone(&self.path);
///         (self, path)
///     }
///
///     fn again(path: &Arc<Path>) -> Option<Self> {
///         Self::open(Arc::clone(path)).ok()
///     }
/// }
/// # impl Body for Upload {
/// #     type Data = Bytes;
/// #     type Error = io::Error;
/// #     fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
/// #         Poll::Ready(self.frame.take().map(|bytes| Ok(Frame::data(bytes))))
/// #     }
/// # }
/// # use http::{Request, Response};
/// # use http_body_util::{BodyExt, Empty};
/// # use tower::{ServiceBuilder, ServiceExt, service_fn};
/// # use tower_together::extension::Attempt;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("tower-together-upload-{}", std::process::id()));
/// # std::fs::write(&path, "spoken")?;
/// # let client = ServiceBuilder::new()
/// #     .layer(tower_together::TogetherLayer::default())
/// #     .service(service_fn(async |request: Request<Upload>| {
/// #         let is_retry = request.extensions().get::<Attempt>().is_some();
/// #         assert_eq!(request.into_body().collect().await?.to_bytes(), "spoken");
/// #         let response = Response::builder().status(if is_retry { 200 } else { 503 });
/// #         Ok::<_, io::Error>(response.body(Empty::<Bytes>::new()).unwrap())
/// #     }));
/// # let request = Request::post("https://api.together.ai/v1/audio/transcriptions");
/// # let response = client.oneshot(request.body(Upload::open(path.as_path().into())?)?).await?;
/// # assert_eq!(response.status(), 200);
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
///
/// If a body cannot be sent again, `Again` is `()`, and `again` returns `None`.
///
/// The trait is open to implementations, and stays so: later releases of 1.x add methods only with a default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request body that tower-together knows",
    label = "no `RequestBody` for this body",
    note = "for the bodies of axum 0.8, reqwest 0.13 and tonic 0.14, and hyper's `Incoming`, enable the feature of that \
            name",
    note = "wrap any other body: `tower_together::body::Opaque::new(body)`"
)]
pub trait RequestBody: Sized {
    /// The data from which the body is built again.
    type Again;

    /// Reads the whole body if it is in memory; otherwise, or if this is unknown, returns `None`, as by default.
    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let _ = read;
        None
    }

    /// Returns the body to send, and the data to build it again from. Copies are reserved from `memory`; if there
    /// is no room, the body is sent and cannot be built again.
    fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again);

    /// Builds the same bytes again, from first to last; `None` if that is not possible.
    ///
    /// From then on the previous body, if it is still read, ends with an error or at its true end. It never ends
    /// early as if it were complete.
    fn again(kept: &Self::Again) -> Option<Self>;
}

impl<D: Buf + Clone> RequestBody for Full<D> {
    type Again = Self;

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // `Full` has no accessor for its data, so the data is taken out as its only frame and put back.
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

    fn replayable(self, _: &ReplayBuffer) -> (Self, Self) {
        (self.clone(), self)
    }

    fn again(kept: &Self) -> Option<Self> {
        Some(kept.clone())
    }
}

impl<D> RequestBody for Empty<D> {
    type Again = ();

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        Some(read(&[]))
    }

    fn replayable(self, _: &ReplayBuffer) -> (Self, ()) {
        (self, ())
    }

    fn again((): &()) -> Option<Self> {
        Some(Self::new())
    }
}

impl RequestBody for () {
    type Again = ();

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        Some(read(&[]))
    }

    fn replayable(self, _: &ReplayBuffer) -> (Self, ()) {
        ((), ())
    }

    fn again((): &()) -> Option<Self> {
        Some(())
    }
}

/// Bodies whose clone only increments a reference count.
macro_rules! counted {
    ($($body:ty),*) => {$(
        impl RequestBody for $body {
            type Again = Self;

            fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
                Some(read(self.as_ref()))
            }

            fn replayable(self, _: &ReplayBuffer) -> (Self, Self) {
                (self.clone(), self)
            }

            fn again(kept: &Self) -> Option<Self> {
                Some(kept.clone())
            }
        }
    )*};
}

counted!(&'static str, Bytes);

/// Bodies whose clone copies their bytes.
macro_rules! copied {
    ($($body:ty),*) => {$(
        impl RequestBody for $body {
            type Again = Option<(Self, Reserved)>;

            fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
                Some(read(self.as_ref()))
            }

            fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again) {
                let reserved = memory.reserve(self.len());
                let kept = reserved.map(|reserved| (self.clone(), reserved));
                (self, kept)
            }

            fn again(kept: &Self::Again) -> Option<Self> {
                Some(kept.as_ref()?.0.clone())
            }
        }
    )*};
}

copied!(String, Vec<u8>);

/// Boxed bodies of any kind, recorded while they are sent.
macro_rules! boxed {
    ($($body:ident where $($bound:ident)+);*) => {$(
        impl<D, E> RequestBody for $body<D, E>
        where
            D: Buf + Clone $(+ $bound)+ + 'static,
            E: Send + 'static,
        {
            type Again = Option<Kept<Self>>;

            fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again) {
                replay::record(self, memory, Self::new, replay::given_up)
            }

            fn again(kept: &Self::Again) -> Option<Self> {
                Some(Self::new(kept.as_ref()?.again()?))
            }
        }
    )*};
}

boxed!(BoxBody where Send Sync; UnsyncBoxBody where Send);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    fn check<B: RequestBody>(mut body: B, expected: &[u8]) -> B {
        for _ in 0..2 {
            assert_eq!(body.peek(<[u8]>::to_vec).as_deref(), Some(expected));
        }
        let (body, kept) = body.replayable(&ReplayBuffer::default());
        for _ in 0..2 {
            let mut again = B::again(&kept).unwrap();
            assert_eq!(again.peek(<[u8]>::to_vec).as_deref(), Some(expected));
        }
        body
    }

    #[tokio::test]
    async fn looking_changes_nothing_and_again_is_the_same() {
        let full = check(Full::new(Bytes::from("abc")), b"abc");
        assert_eq!(full.collect().await.unwrap().to_bytes(), "abc");
        check(Full::<Bytes>::default(), b"");
        check(Empty::<Bytes>::new(), b"");
        check(String::from("abc"), b"abc");
        check(b"abc".to_vec(), b"abc");
        check("abc", b"abc");
        check((), b"");
        let mut scattered: VecDeque<u8> = b"bc".iter().copied().collect();
        scattered.push_front(b'a');
        let mut scattered = Full::new(scattered);
        assert_eq!(scattered.peek(<[u8]>::to_vec), None);
        assert_eq!(scattered.collect().await.unwrap().to_bytes(), "abc");
    }

    #[test]
    fn a_copy_takes_room_and_a_count_takes_none() {
        let memory = ReplayBuffer::new(2, 2);
        let (_, kept) = String::from("abc").replayable(&memory);
        assert!(String::again(&kept).is_none());
        let (_, kept) = Bytes::from("abc").replayable(&memory);
        assert!(Bytes::again(&kept).is_some());
    }
}
