//! A call on its way: from a program to the API, and its response back.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Extension, State},
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, UPGRADE},
};
use tokio::time::timeout;
use tower::ServiceExt;
use tower_together::{
    Rejected,
    extension::{Caller, Deadline},
};

use crate::{
    access::{credentials, rejection},
    body::ahead::Ahead,
    call::{cut::Cut, headers, patience, respond::is_events},
    connection::Peer,
    error::{self, reword::reword},
    gateway::Gateway,
    monitor::{self, record::Record},
    upstream::path,
};

/// Handles every call that is not for one of the gateway's own pages.
///
/// When the program hangs up, this future or the body of its response is dropped. The call's place in the queue, its
/// slot and its connection are then free.
pub(crate) async fn forward(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let (uri, headers) = (request.uri(), request.headers());
    let rejection = gateway.access.rejects_call(uri, headers);
    let program = match &rejection {
        None => gateway.access.program(headers, peer.ip()),
        // One shared name, because callers could otherwise fill the table of programs.
        Some(_) => "unknown".into(),
    };
    let record = Arc::new(Record::new(program, request.method(), uri.path()));
    let caller = credentials::caller(headers, peer.ip());
    let call = gateway.traffic.call(&caller, &record, &gateway.monitor);
    let work = async {
        match rejection {
            Some(rejection) => Err(gateway.monitor.reject(rejection)),
            None => gateway.for_api(request, &caller, &record).await,
        }
    };
    let work = async {
        match work.await {
            Ok(request) => gateway.send(request, &record).await,
            Err(rejection) => rejection,
        }
    };
    let response = tokio::select! {
        biased;
        response = work => {
            let events = is_events(response.headers());
            let (gateway, record) = (Arc::clone(&gateway), Arc::clone(&record));
            response.map(|body| Body::new(Cut::new(body, gateway, record, events)))
        }
        () = gateway.shutdown.over() => gateway.cut(&record),
    };
    record.responded(&response);
    response.map(|body| call.until_end_of(body))
}

impl Gateway {
    /// The request to send to the API, with the facts that the limiter needs.
    async fn for_api(
        &self,
        request: Request<Body>,
        caller: &str,
        record: &Arc<Record>,
    ) -> Result<Request<Ahead>, Response<Body>> {
        let (parts, body) = request.into_parts();
        let upgrade = parts.headers.get(UPGRADE).map(|to| to.as_bytes());
        if upgrade.is_some_and(|to| to.eq_ignore_ascii_case(b"websocket")) {
            return Err(rejection::websocket());
        }
        if !METHODS.contains(&parts.method) {
            return Err(wrong_method(&parts.method));
        }
        let asked = parts.uri.path_and_query().ok_or_else(no_path)?;
        if path::leads_up(asked.path()) {
            return Err(path_up());
        }
        let address = self.target.address(asked).ok_or_else(no_path)?;
        let (body, said) = self.memory.read_ahead(body, record.endpoint).await?;
        self.monitor.queue(record, &said);
        // A new request, so that nothing of the program's connection is passed on by accident.
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = address;
        *request.headers_mut() = headers::for_api(parts.headers, self.target.key.header());
        let deadline = patience::said(request.headers()).map(Deadline::within);
        let extensions = request.extensions_mut();
        extensions.insert(Caller::new(caller));
        extensions.insert(Arc::clone(record));
        if let Some(deadline) = deadline {
            extensions.insert(deadline);
        }
        if let Some(model) = said.model {
            extensions.insert(model);
        }
        Ok(request)
    }

    /// Waits for the call's turn, sends it, and makes the program's response from the API's.
    async fn send(&self, request: Request<Ahead>, record: &Record) -> Response<Body> {
        let creates = record.endpoint.creates();
        let name = self.target.name();
        let patience = patience::of(request.headers(), self.max_wait);
        match timeout(patience, self.sender.clone().oneshot(request)).await {
            // The gateway's own limiter rejected it, with a response in the API's format.
            Ok(Ok(response)) if Rejected::of(response.extensions()).is_some() => {
                reword(response, self.max_wait)
            }
            Ok(Ok(response)) => self.for_program(response, creates),
            Ok(Err(error)) => {
                let mut response = error::no_response(name, &error);
                if self.is_final(response.status(), true, creates) {
                    error::say_final(response.headers_mut());
                }
                response
            }
            Err(_) => {
                if record.facts().attempts > 0 {
                    self.monitor.came(Err(monitor::silent(patience)));
                }
                error::too_slow(name, patience)
            }
        }
    }
}

fn no_path() -> Response<Body> {
    let message = "ask for a path, as /v1/chat/completions";
    error::response(StatusCode::BAD_REQUEST, "no_path", message)
}

fn path_up() -> Response<Body> {
    let message = "ask for a path without segments that are dots, as /v1/chat/completions";
    error::response(StatusCode::BAD_REQUEST, "path_with_dots", message)
}

/// Rejects TRACE: the API would send the request back, with the key in it.
fn wrong_method(method: &Method) -> Response<Body> {
    let allowed = METHODS.map(|method| method.to_string()).join(", ");
    let message = format!("{method} does not pass this gateway, but {allowed} do");
    let mut response = error::lasting(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &message,
    );
    let allowed = HeaderValue::try_from(allowed).expect("names and commas");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
