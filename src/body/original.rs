use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

use super::{ReplayBuffer, RequestBody};

/// The original request, kept to build further attempts from.
///
/// Headers and extensions are cloned, since each attempt may change its own.
pub(crate) struct Original<A> {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extensions: Extensions,
    body: A,
}

impl<A> Original<A> {
    /// The part to keep of a request that is to be sent. The body of the request becomes replayable.
    pub(crate) fn keep<B>(request: &mut Option<Request<B>>, memory: &ReplayBuffer) -> Option<Self>
    where
        B: RequestBody<Again = A>,
    {
        let (head, body) = request.take()?.into_parts();
        let (body, again) = body.replayable(memory);
        let original = Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers: head.headers.clone(),
            extensions: head.extensions.clone(),
            body: again,
        };
        *request = Some(Request::from_parts(head, body));
        Some(original)
    }

    pub(crate) fn head(&self) -> (&HeaderMap, &Extensions) {
        (&self.headers, &self.extensions)
    }

    /// Builds the request again; `None` if its body cannot be.
    pub(crate) fn again<B>(&self) -> Option<Request<B>>
    where
        B: RequestBody<Again = A>,
    {
        let mut request = Request::new(B::again(&self.body)?);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        Some(request)
    }
}
