//! The shapes of the responses.

mod common;

use axum::http::Version;
use common::{Caller, chat, quick};
use serde_json::{Value, json};
use together_standin::StandIn;

async fn server() -> (StandIn, Caller) {
    let rules = together_standin::Rules::none();
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    (server, caller)
}

/// The events of a stream, and that it ends as it must.
fn events(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    let text = text
        .strip_suffix("data: [DONE]\n\n")
        .expect("[DONE] at the end");
    let lines = text.split_terminator("\n\n");
    lines
        .map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn models_are_a_bare_array_under_each_prefix() {
    let (server, caller) = server().await;
    for path in ["/models", "/v1/models", "/v2/models", "/v3/models"] {
        let models = caller.get(path).await.json();
        let models = models.as_array().expect("a bare array");
        assert!(models.iter().all(|model| model["id"].is_string()));
        assert!(!models.is_empty());
    }
    let supported = caller.get("/v2/supported-models").await.json();
    let ids = |models: &Value| {
        let models = models.as_array().unwrap().iter();
        models.map(|model| model["id"].clone()).collect::<Vec<_>>()
    };
    let models = caller.get("/v1/models").await.json();
    assert_eq!(ids(&supported["data"]), ids(&models));
    assert_eq!(caller.get("/v4/models").await.status, 404);
    assert_eq!(caller.get("/v1models").await.status, 404);
    let others = server.stats().others;
    assert!(others.keys().eq(["GET /v1models", "GET /v4/models"]));
}

#[tokio::test]
async fn chat_responds_with_a_message_and_its_usage() {
    let (_server, caller) = server().await;
    let got = caller.post("/v1/chat/completions", &chat()).await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    let response = got.json();
    assert_eq!(response["object"], "chat.completion");
    assert_eq!(response["model"], "m");
    let choice = &response["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(
        choice["message"]["content"],
        "This is the stand-in speaking."
    );
    assert_eq!(choice["finish_reason"], "stop");
    let usage =
        json!({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "cached_tokens": 0});
    assert_eq!(response["usage"], usage);
}

#[tokio::test]
async fn a_stream_has_its_usage_on_the_chunk_with_the_finish_reason() {
    let (server, caller) = server().await;
    let mut whole = chat();
    whole["stream"] = true.into();
    let mut cut = whole.clone();
    cut["max_tokens"] = 2.into();
    for (body, finish, text) in [
        (&whole, "stop", "This is the stand-in speaking."),
        (&cut, "length", "This is"),
    ] {
        let got = caller.post("/v1/chat/completions", body).await;
        let kind = got.header("content-type");
        assert_eq!(kind, Some("text/event-stream;charset=utf-8"));
        let events = events(&got.body);
        let (last, before) = events.split_last().unwrap();
        for event in before {
            assert_eq!(event["usage"], Value::Null);
            assert!(event.as_object().unwrap().contains_key("usage"));
            assert_eq!(event["choices"][0]["finish_reason"], Value::Null);
        }
        assert_eq!(last["choices"][0]["finish_reason"], finish);
        assert_eq!(last["usage"]["completion_tokens"], events.len());
        let content = |event: &Value| event["choices"][0]["delta"]["content"].clone();
        let words: Vec<_> = events.iter().map(content).collect();
        let said: String = words.iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(said, text);
    }
    assert_eq!(server.open_streams(), 0);
}

#[tokio::test]
async fn a_streams_usage_can_come_in_a_chunk_of_its_own() {
    let server = quick().trailing_usage(true).start().await.unwrap();
    let mut body = chat();
    body["stream"] = true.into();
    let got = Caller::new(&server).post("/chat/completions", &body).await;
    let events = events(&got.body);
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 11);
    assert_eq!(last["id"], before[0]["id"]);
    assert!(before.iter().all(|event| event["usage"] == Value::Null));
    let finish = &before.last().unwrap()["choices"][0]["finish_reason"];
    assert_eq!(finish, "stop");
}

#[tokio::test]
async fn completions_respond_with_text_whole_or_streamed() {
    let (_server, caller) = server().await;
    let body = json!({"model": "m", "prompt": "Hello"});
    let response = caller.post("/v1/completions", &body).await.json();
    assert_eq!(response["object"], "text.completion");
    let text = "This is the stand-in speaking.";
    assert_eq!(response["choices"][0]["text"], text);
    assert_eq!(response["usage"]["prompt_tokens"], 2);

    let body = json!({"model": "m", "prompt": "Hello", "stream": true});
    let events = events(&caller.post("/v1/completions", &body).await.body);
    let word = |event: &Value| event["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(events.iter().map(word).collect::<String>(), text);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 6);
}

#[tokio::test]
async fn embeddings_are_one_vector_of_unit_length_per_input() {
    let (_server, caller) = server().await;
    let embed = async |input: Value| {
        let body = json!({"model": "m", "input": input});
        let response = caller.post("/v1/embeddings", &body).await.json();
        response["data"].as_array().unwrap().clone()
    };
    let many = embed(json!(["a", "b", "a"])).await;
    assert_eq!(many.len(), 3);
    for (index, item) in many.iter().enumerate() {
        assert_eq!(item["index"], index);
        assert_eq!(item["object"], "embedding");
        let vector = item["embedding"].as_array().unwrap();
        assert_eq!(vector.len(), 64);
        let square: f64 = vector.iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
        assert!((square - 1.0).abs() < 1e-9, "{square}");
    }
    assert_eq!(many[0]["embedding"], many[2]["embedding"]);
    assert_ne!(many[0]["embedding"], many[1]["embedding"]);
    let one = embed(json!("a")).await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["embedding"], many[0]["embedding"]);

    let short = quick().dimension(3).start().await.unwrap();
    let body = json!({"model": "m", "input": "a"});
    let got = Caller::new(&short).post("/embeddings", &body).await.json();
    assert_eq!(got["data"][0]["embedding"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn images_are_as_many_as_asked_for() {
    let (_server, caller) = server().await;
    let body = json!({"model": "m", "prompt": "a house", "n": 3});
    let response = caller.post("/v1/images/generations", &body).await.json();
    assert_eq!(response["object"], "list");
    let data = response["data"].as_array().unwrap();
    assert_eq!(data.len(), 3);
    assert!(data.iter().all(|image| image["url"].is_string()));
    let body = json!({"model": "m", "prompt": "a house", "n": 5});
    let got = caller.post("/v1/images/generations", &body).await;
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn errors_have_the_shape_of_the_api() {
    let (server, caller) = server().await;
    let invalid = "invalid_request_error".to_owned();
    let missing = Some("missing_api_key".to_owned());
    for key in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer  "),
        Some("Basic x"),
    ] {
        let got = caller
            .send("POST", "/v1/embeddings", key, "{}".into())
            .await;
        assert_eq!(
            got.error(),
            (401, invalid.clone(), missing.clone()),
            "{key:?}"
        );
        let got = caller.send("GET", "/v1/models", key, String::new()).await;
        assert_eq!(got.error().0, 401, "{key:?}");
    }
    // HTTP/1 has no blanks at the end of a header, HTTP/2 may have.
    let two = Caller::http2(&server);
    let got = two.send("GET", "/v1/models", Some("Bearer "), String::new());
    assert_eq!(got.await.error().0, 401);
    let key = Some("Bearer key");
    let paths = [
        "chat/completions",
        "completions",
        "embeddings",
        "images/generations",
    ];
    for path in paths.map(|path| format!("/v1/{path}")) {
        for body in ["", "{", "[]", "{}", r#"{"model":""}"#, r#"{"model":1}"#] {
            let got = caller.send("POST", &path, key, body.into()).await;
            assert_eq!(got.error(), (400, invalid.clone(), None), "{path} {body}");
        }
        let got = caller.post(&path, &json!({"model": "unknown/model"})).await;
        let code = Some("model_not_available".to_owned());
        assert_eq!(got.error(), (404, invalid.clone(), code), "{path}");
    }
    for input in [json!({"model": "m"}), json!({"model": "m", "input": []})] {
        assert_eq!(caller.post("/embeddings", &input).await.error().0, 400);
    }
    let got = caller.get("/v1/chat/completions").await;
    assert_eq!(got.error(), (404, invalid.clone(), None));
    assert_eq!(caller.post("/v1/rerank", &chat()).await.error().0, 404);
}

#[tokio::test]
async fn a_body_that_is_not_announced_as_json_is_rejected() {
    let (server, caller) = server().await;
    let http2 = Caller::http2(&server);
    let send = async |caller: &Caller, path: &str, kind: &str| {
        let headers = [("content-type", kind)];
        let body = chat().to_string();
        let key = Some("Bearer key");
        caller.send_with("POST", path, key, &headers, body).await
    };
    let chats = "/v1/chat/completions";
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ] {
        assert_eq!(send(&caller, chats, kind).await.status, 200, "{kind}");
    }
    let code = Some("unsupported_content_type".to_owned());
    let rejected = (400, "invalid_request_error".to_owned(), code);
    let paths = [
        chats,
        "/v1/completions",
        "/v1/embeddings",
        "/v1/images/generations",
        "/v1/fine-tunes",
        "/v1/batches",
    ];
    for path in paths {
        // An empty value is as good as none.
        for kind in [
            "",
            "text/plain",
            "application/vnd.x+json",
            "application/jsonl",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=cut",
            "text/plain; x=application/json",
        ] {
            for caller in [&caller, &http2] {
                let error = send(caller, path, kind).await.error();
                assert_eq!(error, rejected, "{path} {kind:?}");
            }
        }
    }
    let got = caller.post("/v1/batches/none/cancel", &json!({})).await;
    assert_eq!(got.error().0, 404);
}

#[tokio::test]
async fn a_request_without_a_body_needs_no_content_type() {
    let (_server, caller) = server().await;
    assert_eq!(caller.get("/v1/models").await.status, 200);
    assert_eq!(caller.get("/v1/files").await.status, 200);
    let key = Some("Bearer key");
    let cancel = caller.send("POST", "/v1/batches/none/cancel", key, String::new());
    assert_eq!(cancel.await.error().0, 404);
    let empty = caller.send("POST", "/v1/embeddings", key, String::new());
    assert_eq!(empty.await.error().2, None);
}

#[tokio::test]
async fn each_response_has_a_request_id_of_its_own() {
    let (_server, caller) = server().await;
    let mut ids = vec![
        caller.post("/v1/chat/completions", &chat()).await,
        caller.post("/v1/embeddings", &json!({})).await,
        caller.get("/v1/nowhere").await,
        caller.get("/v1/models").await,
    ];
    let mut ids: Vec<_> = ids
        .drain(..)
        .map(|got| got.header("x-request-id").expect("an id").to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn http2_is_spoken_without_being_negotiated() {
    let (server, one) = server().await;
    let two = Caller::http2(&server);
    for (caller, version) in [(&one, Version::HTTP_11), (&two, Version::HTTP_2)] {
        let body = chat().to_string();
        let key = Some("Bearer key");
        let sent = caller.open("POST", "/v1/chat/completions", key, body).await;
        let response = sent.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.version(), version);
    }
}
