//! Access control: the callers and requests that are accepted.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, StatusCode, header::AUTHORIZATION};

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, ReadResponse},
};

const KEY: &str = "tgp_v1_the-gateways-own-key";

/// A server that responds to TRACE sends the request back, which has the gateway's key in it.
#[tokio::test]
async fn only_methods_that_apis_have_pass() {
    let api = Api::start().await;
    let env = [("TOGETHER_API_KEY", KEY)];
    let gateway = Gateway::start_with(&["--base-url", &api.url()], &env).await;
    for method in ["TRACE", "CONNECT", "PROPFIND", "PURGE", "get"] {
        let target = match method {
            "CONNECT" => "127.0.0.1:80",
            _ => "/v1/models",
        };
        let response = gateway.raw(&format!("{method} {target} HTTP/1.1")).await;
        assert!(response.starts_with("HTTP/1.1 405"), "{method}: {response}");
        let allow = "\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
        assert!(response.contains(allow), "{response}");
        assert!(
            response.contains(r#""code":"method_not_allowed""#),
            "{response}"
        );
    }
    assert!(api.arrived().is_empty());
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let line = format!("{method} /v1/models HTTP/1.1");
        let response = gateway.raw(&line).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{method}: {response}");
    }
    assert_eq!(api.arrived().len(), 7);
}

/// If the base URL is a part of a server, the key must not go to its other parts.
#[tokio::test]
async fn no_path_leads_up() {
    let api = Api::start().await;
    let base = format!("{}/llm/v1", api.url());
    let gateway = Gateway::before(&base, &[]).await;
    for path in [
        "/v1/../../admin",
        "/..",
        "/v1/.",
        "/v1/./models",
        "/v1/%2e%2E/admin",
        "/v1/.%2e/admin",
        "/v1/..%2fadmin",
        "/v1/%2e%2e%5cadmin",
        "/v1/..;a=b/admin",
        "/v1%2f..%2fadmin",
    ] {
        let response = gateway.raw(&format!("GET {path} HTTP/1.1")).await;
        assert!(response.starts_with("HTTP/1.1 400"), "{path}: {response}");
        assert!(
            response.contains(r#""code":"path_with_dots""#),
            "{response}"
        );
    }
    assert!(api.arrived().is_empty());
    // A model's name may contain a slash and dots, and a query may contain anything.
    for path in [
        "/v1/models/Qwen%2FQwen2.5-72B",
        "/v1/a..b/.c/d.",
        "/v1/models?a=/../b",
    ] {
        let response = gateway.raw(&format!("GET {path} HTTP/1.1")).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{path}: {response}");
        assert_eq!(api.arrived().pop().unwrap().path, format!("/llm{path}"));
    }
}

/// The page and its numbers show which models are in use, and how much. With tokens the gateway may be reachable from
/// everywhere, and so could they.
#[tokio::test]
async fn from_elsewhere_a_look_takes_a_token() {
    let api = Api::start().await;
    let env = [("GATEWAY_TOKENS", "ann,tom")];
    let gateway = Gateway::start_with(&["--base-url", &api.url()], &env).await;
    let look = async |path: &str, headers: &[(&str, &str)]| -> ReadResponse {
        let mut request = gateway.get(path);
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Program::new("").send(request).await
    };
    let basic = |login: &str| format!("Basic {}", STANDARD.encode(login));
    let authorization = AUTHORIZATION.as_str();
    for path in ["/", "/lanes", "/metrics"] {
        assert_eq!(look(path, &[]).await.status, StatusCode::OK);
        for elsewhere in [
            ("host", "gateway.example:8018"),
            ("x-forwarded-for", "192.0.2.7"),
            ("forwarded", "for=192.0.2.7"),
        ] {
            let rejected = look(path, &[elsewhere]).await;
            assert_eq!(rejected.status, StatusCode::UNAUTHORIZED, "{elsewhere:?}");
            assert!(
                rejected
                    .header("www-authenticate")
                    .starts_with("Basic realm=")
            );
            assert_eq!(rejected.json()["error"]["code"], "invalid_gateway_token");
            for (credential, known) in [
                ("Bearer tom".to_owned(), true),
                ("Bearer tim".to_owned(), false),
                (basic("anybody:ann"), true),
                (basic(":tom"), true),
                (basic("tom:"), false),
                (basic("tom"), false),
                ("Basic ?".to_owned(), false),
            ] {
                let response = look(path, &[elsewhere, (authorization, &credential)]).await;
                assert_eq!(response.status == StatusCode::OK, known, "{credential}");
            }
        }
    }
    // Basic authentication opens only the pages: a web page may make a browser send it.
    let mut call = gateway.post(crate::program::chat("m"));
    let credential = basic("anybody:ann").parse().unwrap();
    call.headers_mut().insert(AUTHORIZATION, credential);
    let response = Program::new("").send(call).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert!(api.arrived().is_empty());
}

/// A program whose machine vanished held its connection for ever.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_system_looks_after_connections() {
    let gateway = Gateway::start(&[]).await;
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let ports = [&address, &stream.local_addr().unwrap().to_string()]
        .map(|address| address.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    testing::until("its keep-alive timer runs", || async {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let [here, there] = ports.map(|port| format!(":{port:04X}"));
        table.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            // 02 is that timer.
            matches!(words[..], [_, local, remote, _, _, timer, ..]
                if local.ends_with(&here) && remote.ends_with(&there) && timer.starts_with("02:"))
        })
    })
    .await;
}
