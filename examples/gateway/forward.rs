//! A call on its way: in from a program, out to the API, and its answer back.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    body::Body,
    extract::{ConnectInfo, State},
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use tower::ServiceExt;
use tower_together::{ApiError, Endpoint, Rejected, extension::Caller};

use crate::{access, app::Gateway, body, error, headers, say, serve::Peer};

/// Every call that is none of the gateway's own pages.
///
/// When the program hangs up, this future or the body it answered is dropped, and with it the call's
/// place in line, its slot and its connection.
pub(crate) async fn forward(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let refusal = gateway
        .access
        .refuses_call(request.uri(), request.headers());
    if let Some(refusal) = refusal {
        return refusal;
    }
    let caller = access::caller(request.headers(), peer.ip());
    let call = gateway.traffic.call(&caller);
    let answer = match gateway.for_api(request, &caller).await {
        Ok(request) => gateway.send(request).await,
        Err(refusal) => refusal,
    };
    answer.map(|body| call.until_end_of(body))
}

impl Gateway {
    /// The request as the API gets it, with what the limiter is to know of it.
    async fn for_api(
        &self,
        request: Request<Body>,
        caller: &str,
    ) -> Result<Request<Body>, Response<Body>> {
        let (parts, body) = request.into_parts();
        let asked = parts.uri.path_and_query().ok_or_else(no_path)?;
        let address = self.target.address(asked).ok_or_else(no_path)?;
        let endpoint = Endpoint::of(&parts.method, asked.path());
        let (body, model) = match body::names_model(endpoint, &parts.headers) {
            true => body::read_ahead(body).await?,
            false => (body, None),
        };
        // Made anew: nothing of the program's connection goes on by accident.
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = address;
        *request.headers_mut() = headers::for_api(parts.headers, self.target.key.header());
        request.extensions_mut().insert(Caller::new(caller));
        if let Some(model) = model {
            request.extensions_mut().insert(model);
        }
        Ok(request)
    }

    /// Waits for the call's turn, sends it, and makes its answer one for the program.
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        match self.sender.clone().oneshot(request).await {
            // Refused by our own limiter, in the API's shape already.
            Ok(answer) if answer.extensions().get::<Rejected>().is_some() => answer,
            Ok(answer) => self.for_program(answer),
            Err(error) => error::no_answer(self.target.name(), &error),
        }
    }

    fn for_program(&self, answer: Response<Body>) -> Response<Body> {
        let (parts, body) = answer.into_parts();
        let error = parts.extensions.get::<ApiError>();
        if error.is_some_and(is_about_key) {
            return self.key_refused(parts.status);
        }
        self.refused.store(false, Relaxed);
        if error.is_some_and(|error| self.target.key.is_in(error.text().as_bytes())) {
            let message = "the API's own words quote the gateway's key, and are left out";
            return error::answer(parts.status, "upstream_error", message);
        }
        let mut answer = Response::new(body);
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = parts.headers;
        headers::for_program(answer.headers_mut(), |value| self.target.key.is_in(value));
        let kind = answer.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            // nginx, should one be in between, is not to collect it.
            answer.headers_mut().insert(ACCEL_BUFFERING, NO);
        }
        answer
    }

    /// To the program a 401 would say that its own key is wrong, and quote the gateway's.
    fn key_refused(&self, status: StatusCode) -> Response<Body> {
        let name = self.target.name();
        if !self.refused.swap(true, Relaxed) {
            say(&format!(
                "{name} refuses the gateway's key ({status}): check TOGETHER_API_KEY and its \
                 account, and start again"
            ));
        }
        error::lasting(
            StatusCode::BAD_GATEWAY,
            "gateway_key_refused",
            &format!(
                "{name} refuses the gateway's own key ({status}), not yours: whoever runs the \
                 gateway must check its TOGETHER_API_KEY"
            ),
        )
    }
}

/// Whether it is the key, or its account, that the API does not like. A 403 may also say that a
/// prompt is too long, which is the program's to know.
fn is_about_key(error: &ApiError) -> bool {
    let message = error.message().to_ascii_lowercase();
    let about_prompt = PROMPT.iter().any(|word| message.contains(word));
    match error.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => !about_prompt,
        _ => false,
    }
}

fn no_path() -> Response<Body> {
    let message = "ask for a path, as /v1/chat/completions";
    error::answer(StatusCode::BAD_REQUEST, "no_path", message)
}

const PROMPT: [&str; 3] = ["context", "max_tokens", "max_new_tokens"];
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");
