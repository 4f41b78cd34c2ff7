//! An axum app that calls Together for its own callers. The stack is the app's state, made once and cloned, so that all
//! handlers share one limit. A caller that hangs up while its request is queued costs nothing. (For an app that
//! forwards its callers' requests, see `together-gateway`.)

use std::sync::Arc;

use axum::{Router, body::Body, extract::State, response::Response, routing::get};
use futures::future::try_join_all;
use http::{Request, StatusCode};
use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;
use tower_together_stacks::{Api, ExampleError, report};

// The stack, which works with any other client too.
type Together = <TogetherLayer as Layer<reqwest::Client>>::Service;

async fn hello(state: State<(Arc<Api>, Together)>) -> Result<Response, StatusCode> {
    let State((api, together)) = state;
    let request = api.chat::<reqwest::Body>().try_into().expect("a URL");
    let response = together.oneshot(request).await;
    let response = response.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Response::from(response).map(Body::new))
}

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let http = reqwest::Client::builder().retry(reqwest::retry::never());
    let together = TogetherLayer::default().layer(http.build()?);
    let state = (Arc::new(Api::from_env().await?), together);
    let app = Router::new().route("/", get(hello)).with_state(state);

    // Calls the app as `axum::serve(listener, app)` would:
    let calls = (0..5).map(|_| app.clone().oneshot(Request::new(Body::empty())));
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
