//! Errors in the shape of the API.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    engine::{Gauge, Gauges, Unit},
    json::json_response,
};

/// `{"error":{"message","type","param","code"}}` with a status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
    type_on_top: bool,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code: None,
            type_on_top: false,
        }
    }

    pub(crate) fn invalid(param: Option<&'static str>, message: &str) -> Self {
        Self {
            param,
            ..Self::new(StatusCode::BAD_REQUEST, INVALID, message)
        }
    }

    pub(crate) fn no_key() -> Self {
        let message = "Missing API key: send it as \"Authorization: Bearer KEY\".";
        Self {
            code: Some("missing_api_key"),
            ..Self::new(StatusCode::UNAUTHORIZED, INVALID, message)
        }
    }

    pub(crate) fn no_model(model: &str) -> Self {
        let message = format!("Unable to access model {model}: there is no such model.");
        Self {
            param: Some("model"),
            code: Some("model_not_available"),
            ..Self::new(StatusCode::NOT_FOUND, INVALID, message)
        }
    }

    pub(crate) fn no_route(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path}): nothing is scripted there.");
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
    }

    /// The rejection of a body that is not announced as JSON. The status and the code are those of
    /// OpenAI's servers (github.com/openai/openai-openapi/issues/194); vLLM responds with 400 too.
    pub(crate) fn not_json() -> Self {
        let message =
            "Unsupported content type: send the body as \"Content-Type: application/json\".";
        Self {
            code: Some("unsupported_content_type"),
            ..Self::invalid(None, message)
        }
    }

    pub(crate) fn too_large() -> Self {
        let message = "Request entity too large.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// The rejection of a limit that counts this; its headers are the caller's business.
    pub(crate) fn rate_limited(gauges: &Gauges, over: Unit) -> Self {
        // Two places: a third of a request per second is 20 a minute, not 19.999999.
        let per_minute = |gauge: Gauge| (gauge.per_second * 6000.0).round() / 100.0;
        let queries = gauges.requests.map(per_minute);
        let tokens = gauges.tokens.map(per_minute);
        let limits: Vec<_> = [(queries, "queries"), (tokens, "tokens")]
            .into_iter()
            .filter_map(|(limit, unit)| Some(format!("{} {unit}", limit?)))
            .collect();
        let message = format!(
            "You have been rate limited. Your rate limit is {} per minute.",
            limits.join(" and ")
        );
        let kind = match over {
            Unit::Requests => "dynamic_request_limited",
            Unit::Tokens => "dynamic_token_limited",
        };
        Self::new(StatusCode::TOO_MANY_REQUESTS, kind, message)
    }

    /// The same with the error's type beside the error, too.
    pub(crate) fn with_type_on_top(self) -> Self {
        Self {
            type_on_top: true,
            ..self
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    fn body(&self) -> Value {
        let mut body = json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }});
        if self.type_on_top {
            body["error_type"] = self.kind.into();
        }
        body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        json_response(self.status, &self.body())
    }
}

const INVALID: &str = "invalid_request_error";
