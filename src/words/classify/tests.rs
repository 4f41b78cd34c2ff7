use http::{Method, Request};

use super::{Classify, Endpoint};

fn request(uri: &str, host: Option<&str>) -> Request<()> {
    let mut request = Request::builder().method(Method::POST).uri(uri);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    request.body(()).expect("a valid request")
}

#[test]
fn together_is_on_any_host_by_default() {
    for uri in [
        "https://api.together.ai/v1/chat/completions",
        "https://api.together.xyz/v1/chat/completions",
        "http://localhost:8080/v1/chat/completions?a=b",
        "/v1/chat/completions",
    ] {
        let found = Classify::default().endpoint(&request(uri, None));
        assert_eq!(found, Some(Endpoint::ChatCompletions), "{uri}");
    }
    let unknown = request("https://example.com/", None);
    assert_eq!(
        Classify::together().endpoint(&unknown),
        Some(Endpoint::Other)
    );
}

#[test]
fn hosts_by_uri_or_header() {
    const TOGETHER: &[&str] = Classify::TOGETHER_HOSTS;
    #[rustfmt::skip]
    let table: &[(&[&str], &str, Option<&str>, bool)] = &[
        (TOGETHER, "https://api.together.ai/v1/rerank", None, true),
        (TOGETHER, "https://api.together.xyz/v1/rerank", None, true),
        (TOGETHER, "https://API.Together.AI:443/rerank", None, true),
        (TOGETHER, "https://api.together.ai./rerank", None, true),
        (TOGETHER, "https://key@api.together.ai/rerank", None, true),
        (TOGETHER, "https://api.openai.com/rerank", None, false),
        (TOGETHER, "https://api.together.ai.evil.com/rerank", None, false),
        // The URI's host is where the request goes. The header does not overrule it.
        (TOGETHER, "https://api.openai.com/rerank", Some("api.together.ai"), false),
        (TOGETHER, "/rerank", Some("api.together.ai"), true),
        (TOGETHER, "/rerank", Some("api.together.ai:8443"), true),
        (TOGETHER, "/rerank", Some("other"), false),
        (TOGETHER, "/rerank", None, false),
        (&["API.Together.AI"], "https://api.together.ai/rerank", None, true),
        (&["localhost:8080"], "http://localhost:8080/rerank", None, true),
        (&["localhost:8080"], "http://localhost:8081/rerank", None, false),
        (&["localhost:8080"], "http://localhost/rerank", None, false),
        (&["localhost:8080"], "/rerank", Some("localhost:8080"), true),
        (&["localhost:8080"], "/rerank", Some("localhost:port"), false),
        (&["localhost:80"], "http://localhost/rerank", None, true),
        (&["localhost:443"], "http://localhost/rerank", None, false),
        (&["localhost:443"], "https://localhost/rerank", None, true),
        (&["localhost:443"], "/rerank", Some("localhost"), true),
        (&["[::1]"], "http://[::1]:8080/rerank", None, true),
        (&["[::1]"], "/rerank", Some("[::1]"), true),
        (&["[::1]:8080"], "http://[::1]:8080/rerank", None, true),
        (&["[::1]:8080"], "http://[::1]:8081/rerank", None, false),
        (&[], "https://api.together.ai/rerank", None, false),
    ];
    for (hosts, uri, header, fits) in table {
        let classify = Classify::together().only_hosts(*hosts);
        let found = classify.endpoint(&request(uri, *header));
        let expected = fits.then_some(Endpoint::Rerank);
        assert_eq!(found, expected, "{hosts:?} {uri} {header:?}");
    }
}

#[test]
fn the_last_hosts_count() {
    let classify = Classify::together()
        .only_hosts(["a"])
        .only_hosts(vec![String::from("b")]);
    assert_eq!(classify.endpoint(&request("http://a/rerank", None)), None);
    assert!(
        classify
            .endpoint(&request("http://b/rerank", None))
            .is_some()
    );
}

#[test]
fn prefixes() {
    let plain = ["/llm", "llm/together/", "/", ""];
    let classify = plain
        .iter()
        .fold(Classify::together(), |c, p| c.with_prefix(p));
    for (path, expected) in [
        (
            "/llm/together/v1/chat/completions",
            Endpoint::ChatCompletions,
        ),
        ("/llm/v1/chat/completions/", Endpoint::ChatCompletions),
        ("/llm/chat/completions?x=/", Endpoint::ChatCompletions),
        ("/v1/chat/completions", Endpoint::ChatCompletions),
        ("/llmchat/completions", Endpoint::Other),
        ("/llm/together", Endpoint::Other),
        ("/other/v1/chat/completions", Endpoint::Other),
    ] {
        let found = classify.endpoint(&request(path, None));
        assert_eq!(found, Some(expected), "{path}");
    }
}

/// A prefix that is itself a word of the API hides nothing.
#[test]
fn a_prefix_that_is_a_route() {
    let classify = Classify::together().with_prefix("/batches");
    let found = |path| classify.endpoint(&request(path, None));
    assert_eq!(found("/batches"), Some(Endpoint::BatchCreate));
    assert_eq!(found("/batches/b-1/cancel"), Some(Endpoint::BatchCancel));
    assert_eq!(found("/batches/v1/batches"), Some(Endpoint::BatchCreate));
}

#[test]
fn your_own_classification_replaces_the_routes_but_not_the_hosts() {
    let classify = Classify::together()
        .with_prefix("/llm")
        .only_hosts(["models.internal"])
        .with(|method, uri| {
            (*method == Method::POST && uri.path() == "/generate")
                .then_some(Endpoint::custom("generate"))
        });
    let found = |uri| classify.clone().endpoint(&request(uri, None));
    assert_eq!(
        found("http://models.internal/generate"),
        Some(Endpoint::custom("generate"))
    );
    assert_eq!(found("http://models.internal/v1/chat/completions"), None);
    assert_eq!(found("http://elsewhere/generate"), None);
}

#[test]
fn what_cannot_fit_is_rejected() {
    for host in [
        "",
        "https://api.together.ai",
        "api.together.ai/v1",
        "user:secret@host",
        "host:port",
        "host:70000",
        ":80",
        "::1",
        "two words",
    ] {
        let rejected = std::panic::catch_unwind(|| Classify::together().only_hosts([host]));
        assert!(rejected.is_err(), "{host:?}");
    }
    for prefix in ["https://proxy/llm", "/llm?key=1", "/llm#top"] {
        let rejected = std::panic::catch_unwind(|| Classify::together().with_prefix(prefix));
        assert!(rejected.is_err(), "{prefix:?}");
    }
}

#[test]
fn a_clone_is_not_changed_with_the_original() {
    let one = Classify::together().with_prefix("/a");
    let two = one.clone().with_prefix("/b");
    let path = request("/b/rerank", None);
    assert_eq!(one.endpoint(&path), Some(Endpoint::Other));
    assert_eq!(two.endpoint(&path), Some(Endpoint::Rerank));
}

#[test]
fn debug_shows_what_was_configured() {
    assert_eq!(format!("{:?}", Classify::together()), "Classify");
    let classify = Classify::together()
        .with_prefix("llm")
        .only_hosts(["A", "[::1]:80"]);
    assert_eq!(
        format!("{classify:?}"),
        r#"Classify { hosts: ["a", "[::1]:80"], prefixes: ["/llm"] }"#
    );
    assert_eq!(
        format!("{:?}", Classify::together().with(|_, _| None)),
        "Classify { with: .. }"
    );
}

#[test]
fn may_be_shared_between_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Classify>();
}

/// Regression: a base URL with a prefix hid every endpoint, and nothing was limited.
#[test]
fn a_request_may_state_its_endpoint_and_a_classification_of_ones_own_comes_first() {
    let mut request = request("http://a/x/v1/embeddings", None);
    request.extensions_mut().insert(Endpoint::Embeddings);
    let custom = Classify::together().with(|_, _| Some(Endpoint::custom("own")));
    for (classify, endpoint) in [
        (Classify::together(), Some(Endpoint::Embeddings)),
        (
            Classify::together().with_prefix("/y"),
            Some(Endpoint::Embeddings),
        ),
        (
            Classify::together().only_hosts(["a"]),
            Some(Endpoint::Embeddings),
        ),
        (Classify::together().only_hosts(["b"]), None),
        (custom, Some(Endpoint::custom("own"))),
    ] {
        assert_eq!(classify.endpoint(&request), endpoint, "{classify:?}");
    }
}
