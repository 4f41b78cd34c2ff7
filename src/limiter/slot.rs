use std::sync::Arc;

use super::permit::Permit;

/// Response: the in-flight slot of a connection that stops speaking HTTP, such as a WebSocket.
///
/// The socket outlives its response (status 101), so a layer does not see its end. The slot comes free when
/// the last clone of this is dropped. Inside the response's extensions it is dropped with the response: take
/// it out, and keep it as long as the socket.
///
/// ```
/// use tower_together::limiter::Slot;
///
/// # let mut response = http::Response::new(());
/// let slot = response.extensions_mut().remove::<Slot>();
/// // let socket = hyper::upgrade::on(response).await?; ..
/// drop(slot);
/// ```
#[derive(Clone, Debug)]
pub struct Slot {
    _permit: Arc<Permit>,
}

impl Slot {
    pub(crate) fn new(permit: Permit) -> Self {
        let _permit = Arc::new(permit);
        Self { _permit }
    }
}
