//! The key and the model of a request.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Classify, Endpoint, Limits, Quota, TogetherRateLimitLayer,
    extension::{ApiKey, Model},
};

use crate::{CHAT, chat, elapsed, nothing, per_minute};

#[tokio::test(start_paused = true)]
async fn keys_have_limits_of_their_own_and_one_name_makes_them_one() {
    let service = per_minute(1).layer(service_fn(nothing));
    let keyed = |key: &str| {
        let mut request = chat();
        let value = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let extended = |key| {
        let mut request = chat();
        request.extensions_mut().insert(key);
        request
    };
    let times = elapsed(&service, [keyed("a"), keyed("b"), chat()]).await;
    assert_eq!(times, [0, 0, 0]);
    assert!(elapsed(&service, [keyed("a")]).await[0] > 59_000);
    assert!(elapsed(&service, [extended(ApiKey::new("b"))]).await[0] < 1_100);
    assert!(elapsed(&service, [extended(ApiKey::new("b"))]).await[0] > 59_000);
    let org = || extended(ApiKey::named("org"));
    let times = elapsed(&service, [org(), org()]).await;
    assert!(times[0] == 0 && times[1] > 59_000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_model_is_read_from_a_body_in_memory_or_an_extension() {
    let slow = Quota::per_minute(1).unwrap();
    let chat_slow = Limits::none().requests(Endpoint::ChatCompletions, slow);
    let limits = Limits::none().for_model("slow", chat_slow);
    let service = TogetherRateLimitLayer::new(limits).layer(service_fn(nothing));
    let of = |model: &str| {
        let body = format!(r#"{{"messages":[],"model":"{model}"}}"#);
        Request::post(CHAT)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    };
    let said = |model: &str| {
        let mut request = of("fast");
        request.extensions_mut().insert(Model::new(model));
        request
    };
    let times = elapsed(&service, [of("slow"), of("fast"), of("fast"), said("fast")]).await;
    assert_eq!(times, [0, 0, 0, 0]);
    assert!(elapsed(&service, [said("slow")]).await[0] > 59_000);
    assert!(elapsed(&service, [of("slow")]).await[0] > 59_000);
    let lanes = service.limiter().snapshot().lanes;
    assert!(
        lanes
            .iter()
            .any(|lane| lane.model.as_deref() == Some("slow"))
    );
}

/// In an audio request, the model is before or after the file.
#[tokio::test(start_paused = true)]
async fn the_model_is_read_from_a_form() {
    let layer = TogetherRateLimitLayer::new(Limits::none());
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n\0\r\n\
                --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";
    for (path, content_type) in [
        ("audio/transcriptions", "multipart/form-data; boundary=x"),
        ("audio/translations", "multipart/form-data; boundary=\"x\""),
        ("audio/speech", "text/plain; boundary=x"),
        ("files", "multipart/form-data; boundary=x"),
    ] {
        let request = Request::post(format!("https://api.together.ai/v1/{path}"))
            .header("content-type", content_type)
            .body(Full::<Bytes>::from(form))
            .unwrap();
        layer
            .layer(service_fn(nothing))
            .oneshot(request)
            .await
            .unwrap();
    }
    let lanes = layer.limiter().snapshot().lanes;
    let mut models: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.endpoint.name(), lane.model.as_deref()))
        .collect();
    models.sort();
    let expected = [
        ("file-upload", None),
        ("speech", None),
        ("transcriptions", Some("whisper")),
        ("translations", Some("whisper")),
    ];
    assert_eq!(models, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_togethers_is_left_alone() {
    let quota = Quota::per_minute(1).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let layer = TogetherRateLimitLayer::new(limits)
        .with_classify(Classify::together().only_hosts(Classify::TOGETHER_HOSTS));
    let service = layer.layer(service_fn(nothing));
    let elsewhere = || {
        Request::post("http://other.example/v1/chat/completions")
            .body(())
            .unwrap()
    };
    let here = || Request::post(CHAT).body(()).unwrap();
    let times = elapsed(&service, [elsewhere(), elsewhere(), here()]).await;
    assert_eq!(times, [0, 0, 0]);
    assert!(elapsed(&service, [here()]).await[0] > 59_000);
    assert_eq!(service.limiter().snapshot().admitted, 2);
}
