use std::collections::{HashMap, HashSet};

use http::Method;
use proptest::prelude::*;

use super::Endpoint::{self, *};

/// The routes of the OpenAPI specification and of the SDKs, without version. `{..}` stands for an id.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, Endpoint)] = &[
    ("POST", "/chat/completions", ChatCompletions),
    ("POST", "/completions", Completions),
    ("POST", "/embeddings", Embeddings),
    ("POST", "/rerank", Rerank),
    ("POST", "/images/generations", Images),
    ("POST", "/audio/speech", Speech),
    ("GET", "/audio/speech/websocket", SpeechRealtime),
    ("POST", "/audio/transcriptions", Transcriptions),
    ("POST", "/audio/translations", Translations),
    ("GET", "/realtime", TranscriptionRealtime),
    ("GET", "/voices", Voices),
    ("POST", "/videos", VideoCreate),
    ("GET", "/videos/{id}", VideoGet),
    ("GET", "/models", Models),
    ("GET", "/supported-models", Models),
    ("GET", "/supported-models/{id}", Models),
    ("GET", "/projects/{p}/models", Models),
    ("GET", "/projects/{p}/models/{id}", Models),
    ("GET", "/projects/{p}/models/{id}/files", Models),
    ("GET", "/projects/{p}/models/{id}/revisions", Models),
    ("GET", "/projects/{p}/configs", Models),
    ("GET", "/projects/{p}/configs/{id}", Models),
    ("GET", "/organizations/{o}/models", Models),
    ("POST", "/models", ModelUpload),
    ("POST", "/projects/{p}/models", ModelUpload),
    ("POST", "/projects/{p}/models/uploads", ModelUpload),
    ("GET", "/jobs", ModelJobs),
    ("GET", "/jobs/{id}", ModelJobs),
    ("GET", "/projects/{p}/models/uploads", ModelJobs),
    ("GET", "/projects/{p}/models/uploads/{id}", ModelJobs),
    ("GET", "/projects/{p}/models/uploads/{id}/events", ModelJobs),
    ("PATCH", "/projects/{p}/models/{id}", ModelChange),
    ("DELETE", "/projects/{p}/models/{id}", ModelChange),
    ("POST", "/files/upload", FileUpload),
    ("POST", "/files", FileUpload),
    ("POST", "/files/multipart/initiate", FileUpload),
    ("POST", "/files/multipart/complete", FileUploadStep),
    ("POST", "/files/multipart/abort", FileUploadStep),
    ("POST", "/files/{id}/preprocess", FileUploadStep),
    ("GET", "/files", FileList),
    ("GET", "/files/{id}", FileGet),
    ("GET", "/files/{id}/content", FileContent),
    ("DELETE", "/files/{id}", FileDelete),
    ("POST", "/fine-tunes", FineTuneCreate),
    ("GET", "/fine-tunes", FineTuneList),
    ("GET", "/fine-tunes/{id}", FineTuneGet),
    ("DELETE", "/fine-tunes/{id}", FineTuneDelete),
    ("POST", "/fine-tunes/{id}/cancel", FineTuneCancel),
    ("GET", "/fine-tunes/{id}/events", FineTuneEvents),
    ("GET", "/fine-tunes/{id}/checkpoints", FineTuneCheckpoints),
    ("GET", "/fine-tunes/{id}/metrics", FineTuneMetrics),
    ("GET", "/fine-tunes/{id}/download-tokenized-dataset", FineTuneDownload),
    ("GET", "/finetune/download", FineTuneDownload),
    ("POST", "/fine-tunes/estimate-price", FineTuneEstimate),
    ("POST", "/fine-tunes/preview", FineTuneEstimate),
    ("GET", "/fine-tunes/models/supported", FineTuneModels),
    ("GET", "/fine-tunes/models/limits", FineTuneModels),
    ("POST", "/batches", BatchCreate),
    ("GET", "/batches", BatchList),
    ("GET", "/batches/{id}", BatchGet),
    ("POST", "/batches/{id}/cancel", BatchCancel),
    ("POST", "/evaluation", EvaluationCreate),
    ("GET", "/evaluation", EvaluationList),
    ("GET", "/evaluation/{id}", EvaluationGet),
    ("GET", "/evaluation/{id}/status", EvaluationGet),
    ("GET", "/evaluation/model-list", EvaluationModels),
    ("POST", "/tci/execute", CodeExecute),
    ("GET", "/tci/sessions", CodeSessions),
    ("GET", "/whoami", Account),
    ("GET", "/projects", Account),
    ("GET", "/billing/usage", Account),
    ("POST", "/endpoints", DedicatedCreate),
    ("GET", "/endpoints", DedicatedRead),
    ("GET", "/endpoints/{id}", DedicatedRead),
    ("PATCH", "/endpoints/{id}", DedicatedChange),
    ("DELETE", "/endpoints/{id}", DedicatedChange),
    ("POST", "/endpoints/{id}/adapters", DedicatedCreate),
    ("GET", "/endpoints/{id}/adapters", DedicatedRead),
    ("DELETE", "/endpoints/{id}/adapters", DedicatedChange),
    ("GET", "/organizations/{o}/endpoints", DedicatedRead),
    ("POST", "/projects/{p}/endpoints", DedicatedCreate),
    ("GET", "/projects/{p}/endpoints", DedicatedRead),
    ("GET", "/projects/{p}/endpoints/{e}", DedicatedRead),
    ("PATCH", "/projects/{p}/endpoints/{e}", DedicatedChange),
    ("DELETE", "/projects/{p}/endpoints/{e}", DedicatedChange),
    ("GET", "/projects/{p}/endpoints/{e}/analytics", DedicatedRead),
    ("GET", "/projects/{p}/endpoints/{e}/events", DedicatedRead),
    ("POST", "/projects/{p}/endpoints/{e}/deployments", DedicatedCreate),
    ("PATCH", "/projects/{p}/endpoints/{e}/deployments/{d}", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/deployments/{d}/adapters", DedicatedCreate),
    ("GET", "/projects/{p}/endpoints/{e}/deployments/{d}/adapters/{a}", DedicatedRead),
    ("DELETE", "/projects/{p}/endpoints/{e}/deployments/{d}/adapters/{a}", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts", DedicatedCreate),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/preview-defaults", DedicatedRead),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/{r}/start", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/{r}/pause", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/{r}/resume", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/{r}/promote", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/rollouts/{r}/cancel", DedicatedChange),
    ("POST", "/projects/{p}/endpoints/{e}/abExperiments", DedicatedCreate),
    ("POST", "/projects/{p}/endpoints/{e}/shadowExperiments/{s}/targets", DedicatedCreate),
    ("PATCH", "/projects/{p}/endpoints/{e}/shadowExperiments/{s}/targets/{t}", DedicatedChange),
    ("GET", "/hardware", Hardware),
    ("GET", "/clusters/availability-zones", Hardware),
    ("GET", "/public/inference-instance-types", Hardware),
    ("GET", "/public/inference-instance-types/{id}", Hardware),
    ("GET", "/projects/{p}/placement-profiles", Hardware),
    ("GET", "/projects/{p}/placement-profiles/{id}", Hardware),
    ("POST", "/deployments", DeploymentCreate),
    ("GET", "/deployments", DeploymentRead),
    ("GET", "/deployments/{id}", DeploymentRead),
    ("PATCH", "/deployments/{id}", DeploymentChange),
    ("DELETE", "/deployments/{id}", DeploymentChange),
    ("GET", "/deployments/{id}/logs", DeploymentRead),
    ("GET", "/deployments/{id}/revisions/{r}", DeploymentRead),
    ("POST", "/deployments/{id}/rollback", DeploymentChange),
    ("POST", "/deployments/secrets", DeploymentCreate),
    ("GET", "/deployments/secrets/{id}", DeploymentRead),
    ("PATCH", "/deployments/secrets/{id}", DeploymentChange),
    ("POST", "/deployments/storage/volumes", DeploymentCreate),
    ("DELETE", "/deployments/storage/volumes/{id}", DeploymentChange),
    ("POST", "/queue/submit", QueueSubmit),
    ("GET", "/queue/status", QueueStatus),
    ("GET", "/queue/metrics", QueueMetrics),
    ("POST", "/queue/cancel", QueueCancel),
    ("POST", "/queue/clear", QueueClear),
    ("POST", "/compute/clusters", ClusterCreate),
    ("GET", "/compute/clusters", ClusterRead),
    ("GET", "/compute/clusters/{c}", ClusterRead),
    ("PUT", "/compute/clusters/{c}", ClusterChange),
    ("DELETE", "/compute/clusters/{c}", ClusterChange),
    ("POST", "/compute/clusters/storage/volumes", ClusterCreate),
    ("PUT", "/compute/clusters/storage/volumes", ClusterChange),
    ("GET", "/compute/clusters/storage/volumes/{id}", ClusterRead),
    ("POST", "/compute/clusters/{c}/instances/{i}/remediations", ClusterCreate),
    ("GET", "/compute/clusters/{c}/instances/{i}/remediations/{r}", ClusterRead),
    ("POST", "/compute/clusters/{c}/instances/{i}/remediations/{r}/approve", ClusterChange),
    ("POST", "/compute/clusters/{c}/instances/{i}/remediations/{r}/cancel", ClusterChange),
    ("POST", "/compute/clusters/{c}/instances/{i}/remediations/{r}/reject", ClusterChange),
    ("GET", "/compute/regions", ClusterRead),
    ("POST", "/rl/training-sessions", RlCreate),
    ("GET", "/rl/training-sessions/{s}", RlRead),
    ("PATCH", "/rl/training-sessions/{s}", RlChange),
    ("POST", "/rl/training-sessions/{s}/stop", RlChange),
    ("POST", "/rl/training-sessions/{s}/operations/optim-step", RlCreate),
    ("GET", "/rl/training-sessions/{s}/operations/optim-step/{o}", RlRead),
    ("POST", "/rl/model-resources", RlCreate),
    ("POST", "/rl/model-resources/estimate-cost", RlRead),
    ("POST", "/rl/model-resources/{m}/extend-expiry", RlCreate),
    ("POST", "/rl/model-resources/{m}/stop", RlChange),
    ("GET", "/rl/checkpoints/{c}/download", RlRead),
    ("GET", "/rl/supported-models", RlRead),
    ("POST", "/shaping/prepare-for-fp4-inference", ShapingCreate),
    ("POST", "/shaping/prepare-for-fp4-inference/estimate", ShapingRead),
    ("GET", "/shaping", ShapingRead),
    ("GET", "/shaping/{id}", ShapingRead),
    ("GET", "/shaping/{id}/events", ShapingRead),
    ("POST", "/shaping/{id}/cancel", ShapingCancel),
];

/// Ids of all forms, and words of the API that may be ids as well.
const IDS: &[&str] = &[
    "ft-0c1d2e3f-4455",
    "123e4567-e89b-12d3-a456-426614174000",
    "meta-llama%2FLlama-3.3-70B-Instruct-Turbo",
    "a:b@c~d",
    "%3F%23",
    "é",
    "v1",
    "cancel",
    "completions",
    "batches",
];

fn of(method: &str, path: &str) -> Endpoint {
    Endpoint::of(&method.parse().expect("a method"), path)
}

/// `path` with `id` in place of each `{..}`.
fn fill(path: &str, id: &str) -> String {
    let segments = path
        .split('/')
        .map(|s| if s.starts_with('{') { id } else { s });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_in_every_spelling() {
    for &(method, route, expected) in ROUTES {
        for path in IDS.iter().map(|id| fill(route, id)) {
            for version in ["", "/v1", "/v2", "/v3"] {
                let doubled = path.replace('/', "//");
                for spelling in [
                    format!("{version}{path}"),
                    format!("{version}{path}/"),
                    format!("{version}{path}?model=a/b&x=?"),
                    format!("{version}{path}/?limit=1"),
                    format!("{version}{path}#fragment"),
                    format!("/{version}{doubled}//"),
                ] {
                    assert_eq!(of(method, &spelling), expected, "{method} {spelling}");
                }
            }
        }
    }
}

#[test]
fn every_route_is_of_its_method_alone() {
    let routes: HashMap<_, _> = ROUTES.iter().map(|&(m, p, e)| ((m, p), e)).collect();
    for &(_, route, _) in ROUTES {
        for method in ["HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY", "post"] {
            assert_eq!(of(method, &fill(route, "id")), Other, "{method} {route}");
        }
        for method in ["POST", "GET", "PUT", "PATCH", "DELETE"] {
            let found = of(method, &fill(route, "id"));
            assert!(!found.creates() || method == "POST", "{method} {route}");
            if let Some(&expected) = routes.get(&(method, route)) {
                assert_eq!(found, expected, "{method} {route}");
            }
        }
    }
}

#[test]
fn traps() {
    for (method, path, expected) in [
        // A word is an id where an id belongs.
        ("GET", "/v1/batches/cancel", BatchGet),
        ("POST", "/v1/batches/cancel/cancel", BatchCancel),
        ("POST", "/v1/batches/cancel", Other),
        ("POST", "/v1/batches//cancel", Other),
        ("GET", "/v1/fine-tunes/estimate-price", FineTuneGet),
        ("GET", "/v1/fine-tunes/models", FineTuneGet),
        ("GET", "/v1/fine-tunes/models/events", FineTuneEvents),
        ("POST", "/v1/fine-tunes/models/limits", Other),
        ("GET", "/v1/files/upload", FileGet),
        ("GET", "/v1/files/multipart/content", FileContent),
        ("POST", "/v1/files/multipart/preprocess", FileUploadStep),
        ("POST", "/v1/files/some-id", Other),
        ("GET", "/v1/evaluation/model-list/status", EvaluationGet),
        (
            "GET",
            "/v2/projects/projects/endpoints/endpoints",
            DedicatedRead,
        ),
        (
            "POST",
            "/v1/deployments/rollback/rollback",
            DeploymentChange,
        ),
        // Unknown routes below a control-plane root count as creating.
        (
            "POST",
            "/v2/projects/p/endpoints/e/something-new",
            DedicatedCreate,
        ),
        ("GET", "/v1/rl/something-new", RlRead),
        // A version is one segment, in front.
        ("POST", "/v1/v1/chat/completions", Other),
        ("POST", "/v2/v1/chat/completions", Other),
        ("POST", "/v4/chat/completions", Other),
        ("POST", "/V1/chat/completions", Other),
        ("POST", "/v10/chat/completions", Other),
        ("POST", "/chat/v1/completions", Other),
        ("GET", "/v1", Other),
        // Case counts, and so does every segment.
        ("POST", "/v1/Chat/Completions", Other),
        ("POST", "/v1/chat/completions/more", Other),
        ("POST", "/v1/chat", Other),
        ("POST", "/v1/chat%2Fcompletions", Other),
        // Percent-encoded letters make no difference (RFC 3986, 6.2.2).
        ("POST", "/v1/ch%61t/completions", ChatCompletions),
        ("POST", "/%76%31/chat/c%6Fmpl%65tions", ChatCompletions),
        ("POST", "/v1/fine%2Dtunes", FineTuneCreate),
        ("POST", "/v1/./chat/../embeddings", Embeddings),
        ("POST", "/v1/files/%2e%2E/embeddings", Embeddings),
        ("POST", "/../v1/../v1/embeddings", Embeddings),
        ("POST", "/v1/embeddings%", Other),
        ("POST", "/v1/embeddings%6", Other),
        ("POST", "/v1/embedding%+7", Other),
        ("POST", "/v1/embedding%é", Other),
        ("POST", "/v1/responses", Other),
        ("POST", "/v1/moderations", Other),
        ("POST", "/v1/finetunes", Other),
        ("GET", "/v1/chat/completions", Other),
        ("DELETE", "/v1/batches/b", Other),
        ("POST", "/proxy/v1/chat/completions", Other),
        ("POST", "https://api.together.ai/v1/chat/completions", Other),
        ("POST", "/together.Chat/Complete", Other),
        ("GET", "/rl/2/3/4/5/6/7/8", RlRead),
        ("GET", "/rl/2/3/4/5/6/7/8/9", Other),
        ("OPTIONS", "*", Other),
        ("POST", "", Other),
        ("GET", "/", Other),
        ("GET", "?", Other),
        // A leading slash may be missing.
        ("POST", "v1/chat/completions", ChatCompletions),
        ("POST", "chat/completions", ChatCompletions),
    ] {
        assert_eq!(of(method, path), expected, "{method} {path}");
    }
}

#[test]
fn names_are_labels_and_differ() {
    let endpoints: HashSet<_> = ROUTES.iter().map(|route| route.2).chain([Other]).collect();
    let names: HashSet<_> = endpoints.iter().map(|endpoint| endpoint.name()).collect();
    assert_eq!(names.len(), endpoints.len());
    for name in names {
        assert!(
            name.split('-').all(|word| !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())),
            "{name}"
        );
    }
    let mine = Endpoint::custom("mine");
    assert_eq!(mine.name(), "mine");
    assert_eq!(format!("{mine:?}"), r#"Custom("mine")"#);
    assert_eq!(FineTuneCreate.to_string(), "fine-tune-create");
    assert_eq!(format!("{Rerank:>8}"), "  rerank");
}

#[test]
fn what_creates_and_what_takes_a_model() {
    for &(method, route, endpoint) in ROUTES {
        let inference = matches!(
            route.split('/').nth(1),
            Some("chat" | "completions" | "embeddings" | "rerank" | "images" | "audio" | "videos")
        );
        assert_eq!(
            endpoint.takes_model(),
            inference && method == "POST",
            "{method} {route}"
        );
        if method != "POST" {
            assert!(!endpoint.creates(), "{method} {route}");
        }
    }
    for endpoint in [
        FineTuneCancel,
        BatchCancel,
        QueueCancel,
        FineTuneEstimate,
        Other,
        Endpoint::custom(""),
    ] {
        assert!(!endpoint.creates(), "{endpoint:?}");
    }
}

fn method() -> impl Strategy<Value = Method> {
    const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "X"];
    prop::sample::select(METHODS).prop_map(|m| m.parse().expect("a method"))
}

/// A path of the API's words, mixed with anything else, without version.
fn path() -> impl Strategy<Value = String> {
    let words: Vec<_> = ROUTES
        .iter()
        .flat_map(|route| route.1.split('/'))
        .filter(|word| !word.is_empty())
        .collect();
    let word = prop_oneof![
        3 => prop::sample::select(words).prop_map(String::from),
        1 => "[^/?#]{1,6}",
    ];
    prop::collection::vec(word, 1..10)
        .prop_filter("no version in front", |words| {
            !matches!(words[0].as_str(), "v1" | "v2" | "v3")
        })
        .prop_map(|words| format!("/{}", words.join("/")))
}

proptest! {
    #[test]
    fn any_path_has_an_endpoint(method in method(), path in any::<String>()) {
        prop_assert!(!matches!(Endpoint::of(&method, &path), Custom(_)));
    }

    #[test]
    fn version_slashes_and_query_do_not_count(
        method in method(),
        path in path(),
        version in prop::sample::select(&["", "/v1", "/v2", "/v3"][..]),
        slashes in "/{0,3}",
        query in "([?#].{0,10})?",
    ) {
        let plain = Endpoint::of(&method, &path);
        prop_assert_eq!(Endpoint::of(&method, &format!("{version}{path}{slashes}{query}")), plain);
        prop_assert_eq!(Endpoint::of(&method, &path.replace('/', "//")), plain);
    }
}
