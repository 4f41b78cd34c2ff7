//! No credential passes in either direction, and callers without access are rejected.

use http::{HeaderName, Response, StatusCode};

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, ReadResponse, chat},
};

/// A key that cannot be overlooked.
const KEY: &str = "tgp_v1_the-gateways-own-key";

async fn gateway(api: &Api) -> Gateway {
    let env = [("TOGETHER_API_KEY", KEY)];
    Gateway::start_with(&["--base-url", &api.url()], &env).await
}

#[tokio::test]
async fn a_programs_credentials_never_reach_the_api() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let mut request = gateway.post_to(
        "/v1/chat/completions?api_key=secret-of-tom&beta=true&KEY=secret-of-tom&%74oken=secret-of-tom\
         &access_token=secret-of-tom&x=y",
        chat("m"),
    );
    for name in [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "cookie",
        "openai-organization",
        "openai-project",
        "forwarded",
        "x-forwarded-for",
        "x-real-ip",
        "accept-encoding",
        "x-private",
        // None of these is on a list of names: unknown headers are not passed on.
        "x-forwarded-access-token",
        "x-forwarded-user",
        "x-goog-api-key",
        "x-auth-token",
        "x-amz-security-token",
        "ocp-apim-subscription-key",
        "via",
        "cf-connecting-ip",
        "true-client-ip",
        "baggage",
        "referer",
        "keep-alive",
        "te",
        "upgrade",
    ] {
        let name: HeaderName = name.parse().unwrap();
        request
            .headers_mut()
            .insert(name, "secret-of-tom".parse().unwrap());
    }
    let headers = request.headers_mut();
    headers.append("connection", "close, x-private".parse().unwrap());
    headers.insert("x-stainless-lang", "python".parse().unwrap());
    headers.insert("user-agent", "OpenAI/Python".parse().unwrap());
    let known = [
        "accept",
        "content-language",
        "idempotency-key",
        "openai-beta",
        "range",
        "traceparent",
        "x-request-id",
    ];
    for name in known {
        headers.insert(name, "known".parse().unwrap());
    }
    let response = Program::new("").send(request).await;
    assert_eq!(response.status, StatusCode::OK);

    let arrived = api.arrived();
    assert_eq!(arrived.len(), 1);
    let (path, headers) = (&arrived[0].path, &arrived[0].headers);
    assert_eq!(path, "/v1/chat/completions?beta=true&x=y");
    assert_eq!(headers["authorization"], format!("Bearer {KEY}").as_str());
    assert_eq!(headers["host"], api.url().trim_start_matches("http://"));
    assert_eq!(headers["x-stainless-lang"], "python");
    assert_eq!(headers["user-agent"], "OpenAI/Python");
    for name in known {
        assert_eq!(headers[name], "known", "{name}");
    }
    assert!(
        !format!("{headers:?}").contains("secret-of-tom"),
        "{headers:?}"
    );
    assert_eq!(arrived[0].body, chat("m"));
}

/// No request makes the gateway send the key elsewhere.
#[tokio::test]
async fn the_key_goes_to_the_api_and_nowhere_else() {
    let (api, other) = (Api::start().await, Api::start().await);
    let elsewhere = other.url().trim_start_matches("http://").to_owned();
    for base in [api.url(), format!("{}/v1", api.url())] {
        let env = [("TOGETHER_API_KEY", KEY)];
        let gateway = Gateway::start_with(&["--base-url", &base], &env).await;
        for (asked, status) in [
            // Some of these are rejected before the gateway sees them.
            ("*".to_owned(), "400"),
            // `http://API` followed by this is the address of another server.
            (format!("@{elsewhere}/v1/models"), "400"),
            (elsewhere.clone(), "400"),
            // Addresses and hosts that a proxy would go to.
            (format!("//{elsewhere}/v1/models"), "200"),
            (format!("http://{elsewhere}/v1/models"), "200"),
        ] {
            let response = gateway.raw(&format!("OPTIONS {asked} HTTP/1.1")).await;
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status}")),
                "{asked}: {response}"
            );
        }
    }
    assert!(other.arrived().is_empty());
    assert_eq!(api.arrived().len(), 4);
}

/// Everything a program can read.
fn shows_key(response: &ReadResponse) -> bool {
    format!("{:?} {}", response.headers, response.text()).contains(KEY)
}

fn error(status: u16, message: &str) -> Response<String> {
    let body = serde_json::json!({"error": {"message": message, "type": "t", "code": "c"}});
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("set-cookie", "__cf_bm=1")
        .header("alt-svc", "h3=\":443\"")
        .header("x-echo", KEY)
        .body(body.to_string())
        .unwrap()
}

#[tokio::test]
async fn the_gateways_key_never_reaches_a_program() {
    let api = Api::start().await;
    let mut gateway = gateway(&api).await;
    let quoted = format!("Invalid API key provided: {KEY}");
    let program = Program::new("a-programs-own-key");
    for (responded, told, code) in [
        (error(401, &quoted), 502, "gateway_key_refused"),
        (error(403, "Incorrect API key"), 502, "gateway_key_refused"),
        (error(400, &quoted), 400, "c"),
        // The key is not the cause, and a retry would fail too.
        (error(403, "this model is not for everybody"), 403, "c"),
        (
            error(403, "longer than the model's context length"),
            403,
            "c",
        ),
        (error(404, "no such model"), 404, "c"),
        (error(401, "again"), 502, "gateway_key_refused"),
        (error(200, "fine"), 200, "c"),
    ] {
        api.will_respond(responded);
        let response = program.send(gateway.post(chat("m"))).await;
        assert_eq!(response.status.as_u16(), told, "{}", response.text());
        assert_eq!(response.json()["error"]["code"], code);
        assert!(!shows_key(&response), "{response:?}");
        assert_eq!(response.header("set-cookie"), "");
        assert_eq!(response.header("alt-svc"), "");
        if told == 403 || told == 502 {
            // Otherwise each SDK would retry it twice.
            assert_eq!(response.header("x-should-retry"), "false");
        }
        if told == 502 {
            assert!(response.text().contains("not yours"), "{}", response.text());
        }
    }
    // An error that comes with 200 counts as the status that it names.
    let in_band = format!(r#"{{"error":{{"code":401,"message":"{quoted}"}}}}"#);
    api.will_respond(Response::new(in_band));
    let response = program.send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, 502);
    assert!(response.text().contains("(401"), "{}", response.text());
    for path in ["/", "/lanes", "/metrics"] {
        let response = program.send(gateway.get(path)).await;
        assert!(!shows_key(&response), "{response:?}");
        assert!(
            !response.text().contains("a-programs-own-key"),
            "{}",
            response.text()
        );
    }
    let said = gateway.stop().await;
    assert!(!said.contains(KEY), "{said}");
    // Only the first of the three rejections is reported, whatever the responses in between.
    assert_eq!(said.matches("check TOGETHER_API_KEY").count(), 1, "{said}");
}

#[tokio::test]
async fn with_tokens_only_those_who_have_one_are_served() {
    let api = Api::start().await;
    let env = [("GATEWAY_TOKENS", "ann, tom"), ("TOGETHER_API_KEY", KEY)];
    let base = ["--base-url", &api.url()];
    let gateway = Gateway::start_with(&base, &env).await;
    for token in ["", "an", "ann,", "ann, tom", "Tom", KEY] {
        let response = Program::new(token).send(gateway.post(chat("m"))).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(response.json()["error"]["code"], "invalid_gateway_token");
    }
    assert!(api.arrived().is_empty());
    for token in ["ann", "tom"] {
        let response = Program::new(token).send(gateway.post(chat("m"))).await;
        assert_eq!(response.status, StatusCode::OK, "{token}");
    }
    let page = Program::new("").send(gateway.get("/")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text().contains("ann,"));

    // With tokens, the gateway may be reachable from elsewhere.
    let everywhere = [&base[..], &["--listen", "0.0.0.0:0"]].concat();
    let gateway = Gateway::start_with(&everywhere, &env).await;
    assert!(gateway.url().starts_with("http://0.0.0.0:"));
}

/// A web page may make a browser send requests to this machine.
#[tokio::test]
async fn web_pages_of_other_sites_may_not_call() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let own = gateway.url().to_owned();
    for (header, value, allowed) in [
        ("sec-fetch-site", "cross-site", false),
        ("sec-fetch-site", "same-site", false),
        ("sec-fetch-site", "same-origin", true),
        ("origin", "https://example.com", false),
        ("origin", "null", false),
        ("origin", own.as_str(), true),
        ("host", "example.com", false),
        ("host", "localhost:8018", true),
    ] {
        let name: HeaderName = header.parse().unwrap();
        let mut call = gateway.post(chat("m"));
        call.headers_mut()
            .insert(name.clone(), value.parse().unwrap());
        let response = Program::new("").send(call).await;
        assert_eq!(
            response.status == StatusCode::OK,
            allowed,
            "{header}: {value}"
        );
        if !allowed {
            let code = if header == "host" {
                "foreign_host"
            } else {
                "web_page"
            };
            let error = &response.json()["error"];
            assert_eq!(error["code"], code);
            let names_it = error["message"].as_str().unwrap().contains(value);
            assert_eq!(names_it, header == "host", "{error}");
        }
        // The author of a page could make such a name resolve here, and read the gateway's pages.
        let mut look = gateway.get("/lanes");
        look.headers_mut().insert(name, value.parse().unwrap());
        let response = Program::new("").send(look).await;
        let seen = response.status == StatusCode::OK;
        assert_eq!(seen, header != "host" || allowed, "{header}: {value}");
    }
    assert_eq!(api.arrived().len(), 3);
}
