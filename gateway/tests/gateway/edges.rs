//! Browsers, orchestrators, unusual clients, and the messages of rejections.

use http::{Method, Request, StatusCode};

use crate::{
    api::Api,
    process::Gateway,
    program::{Body, Program, ReadResponse, chat, embed},
    stand_in,
};
use testing::until;

async fn with_tokens(api: &Api) -> Gateway {
    let env = [("GATEWAY_TOKENS", "tom")];
    Gateway::start_with(&["--base-url", &api.url()], &env).await
}

/// Sends a request with these headers, and no credential.
async fn send(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> ReadResponse {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Program::new("").send(request).await
}

/// A browser sends a preflight first, without a token.
#[tokio::test]
async fn a_web_page_with_a_token_may_call() {
    let api = Api::start().await;
    let gateway = with_tokens(&api).await;
    let origin = ("origin", "https://app.example");
    let mut question = gateway.post(chat("m"));
    *question.method_mut() = Method::OPTIONS;
    let asked = [
        origin,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,x-stainless-lang",
        ),
    ];
    let allowed = send(question, &asked).await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert_eq!(allowed.header("access-control-allow-headers"), asked[2].1);
    assert!(api.arrived().is_empty());

    let token = ("authorization", "Bearer tom");
    let response = send(gateway.post(chat("m")), &[origin, token]).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.header("access-control-allow-origin"), "*");
    assert_eq!(response.header("access-control-expose-headers"), "*");
    // The calling page may read an error too.
    let rejected = send(gateway.post(chat("m")), &[origin]).await;
    assert_eq!(rejected.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rejected.header("access-control-allow-origin"), "*");
    // The gateway's own pages need no token from this machine, and are for no other site.
    for path in ["/lanes", "/metrics", "/"] {
        let seen = send(gateway.get(path), &[origin]).await;
        assert!(!seen.headers.contains_key("access-control-allow-origin"));
    }
    // Without tokens any page could spend the key's money.
    let open = Gateway::before(&api.url(), &[]).await;
    let mut question = open.post(chat("m"));
    *question.method_mut() = Method::OPTIONS;
    let rejected = send(question, &asked).await;
    assert_eq!(rejected.status, StatusCode::FORBIDDEN);
    assert!(!rejected.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn orchestrators_need_no_token() {
    let api = Api::start().await;
    api.holds();
    let gateway = with_tokens(&api).await;
    for path in ["/healthz", "/readyz"] {
        for host in ["127.0.0.1", "gateway.prod.svc.cluster.local"] {
            let response = send(gateway.get(path), &[("host", host)]).await;
            assert_eq!(response.status, StatusCode::OK, "{path} {host}");
            assert_eq!(response.text(), "ok\n");
        }
    }
    assert!(api.arrived().is_empty());
}

#[tokio::test]
async fn programs_may_leave_out_the_host_and_use_names_of_their_network() {
    let api = Api::start().await;
    let flags = ["--host", "gateway.example"];
    let gateway = Gateway::before(&api.url(), &flags).await;
    for (host, allowed) in [
        ("gateway:8018", true),
        ("gateway.localhost", true),
        ("gateway.example:8018", true),
        ("Gateway.Example.", true),
        ("evil.example", false),
        ("evil-gateway.example", false),
        ("evil.gateway.example", false),
        ("?", false),
    ] {
        let response = send(gateway.post(chat("m")), &[("host", host)]).await;
        assert_eq!(response.status == StatusCode::OK, allowed, "{host}");
    }
    let bare = gateway.head("GET /v1/models HTTP/1.0\r\n\r\n").await;
    assert!(bare.starts_with("HTTP/1.0 200"), "{bare}");
    let page = "GET /v1/models HTTP/1.0\r\norigin: https://evil.example\r\n\r\n";
    let page = gateway.head(page).await;
    assert!(page.starts_with("HTTP/1.0 403"), "{page}");
}

#[tokio::test]
async fn a_websocket_is_rejected_in_words() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &[]).await;
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let response = send(gateway.get("/v1/realtime"), &upgrade).await;
    assert_eq!(response.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(response.json()["error"]["code"], "websocket");
    assert_eq!(response.header("x-should-retry"), "false");
    assert!(api.arrived().is_empty());
}

/// A program's author was told to raise `max_wait`, which is the gateway's.
#[tokio::test]
async fn a_rejection_names_what_a_program_can_do() {
    let server = stand_in().await;
    let flags = ["--limit", "embeddings=1", "--max-wait", "30"];
    let gateway = Gateway::before(&server.url(), &flags).await;
    let embed = || gateway.post_to("/v1/embeddings", embed("m"));
    let tom = Program::new("tom");
    assert_eq!(tom.send(embed()).await.status, StatusCode::OK);
    let hurried = [("x-stainless-timeout", "1")];
    for (response, code, words) in [
        (tom.send(embed()).await, "max_wait", "within 30s"),
        (
            send(embed(), &hurried).await,
            "deadline",
            "a longer timeout",
        ),
    ] {
        assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers.contains_key("retry-after"));
        let error = &response.json()["error"];
        assert_eq!(error["code"], code);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("raise"), "{message}");
    }
    until("both are counted", async || {
        gateway.lanes().await["refused"] == 2
    })
    .await;
}
