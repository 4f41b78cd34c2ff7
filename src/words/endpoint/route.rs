//! From a method and a path to an [`Endpoint`].
//!
//! There is one table a method. An id may look like any word (`cancel`, `upload`), so a word counts only
//! where the API puts it. Below a control-plane root (`/endpoints`, `/deployments`, `/compute`, `/rl`) every
//! path is accepted, since new routes appear there. Its method tells whether it reads, and a `POST` counts as
//! creating unless it is known to do less.

use std::borrow::Cow;

use http::Method;

use super::Endpoint::{self, *};

/// The path with percent-encoded letters, digits and `-._~` decoded, such as `%61` (RFC 3986, 6.2.2.2).
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    let Some((plain, mut rest)) = path.split_once('%') else {
        return Cow::Borrowed(path);
    };
    let mut normal = String::with_capacity(path.len());
    normal.push_str(plain);
    loop {
        let code = rest.get(..2).filter(|code| !code.starts_with('+'));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte.map(char::from) {
            Some(byte) if byte.is_ascii_alphanumeric() || "-._~".contains(byte) => {
                normal.push(byte);
                rest = &rest[2..];
            }
            _ => normal.push('%'),
        }
        let Some((plain, after)) = rest.split_once('%') else {
            normal.push_str(rest);
            return Cow::Owned(normal);
        };
        normal.push_str(plain);
        rest = after;
    }
}

pub(super) fn route(method: &Method, path: &str) -> Endpoint {
    if *method == Method::POST {
        // The most frequent paths, as SDKs spell them, skip the few nanoseconds that splitting costs.
        match path.strip_prefix("/v1").unwrap_or(path) {
            "/chat/completions" => return ChatCompletions,
            "/embeddings" => return Embeddings,
            _ => {}
        }
    }
    let path = normal(path);
    let mut room = [""; DEEPEST];
    let Some(segments) = split(&path, &mut room) else {
        return Other;
    };
    match *method {
        Method::POST => post(segments),
        Method::GET => get(segments),
        Method::DELETE => delete(segments),
        Method::PATCH | Method::PUT => change(segments),
        _ => Other,
    }
}

fn post(path: &[&str]) -> Endpoint {
    match *path {
        ["chat", "completions"] => ChatCompletions,
        ["embeddings"] => Embeddings,
        ["completions"] => Completions,
        ["rerank"] => Rerank,
        ["images", "generations"] => Images,
        ["audio", "speech"] => Speech,
        ["audio", "transcriptions"] => Transcriptions,
        ["audio", "translations"] => Translations,
        ["videos"] => VideoCreate,
        ["models"] | ["projects", _, "models"] | ["projects", _, "models", "uploads"] => {
            ModelUpload
        }
        ["files"] | ["files", "upload"] | ["files", "multipart", "initiate"] => FileUpload,
        ["files", "multipart", "complete" | "abort"] | ["files", _, "preprocess"] => FileUploadStep,
        ["fine-tunes"] => FineTuneCreate,
        ["fine-tunes", "estimate-price" | "preview"] => FineTuneEstimate,
        ["fine-tunes", _, "cancel"] => FineTuneCancel,
        ["batches"] => BatchCreate,
        ["batches", _, "cancel"] => BatchCancel,
        ["evaluation"] => EvaluationCreate,
        ["tci", "execute"] => CodeExecute,
        ["queue", "submit"] => QueueSubmit,
        ["queue", "cancel"] => QueueCancel,
        ["queue", "clear"] => QueueClear,
        ["shaping", "prepare-for-fp4-inference"] => ShapingCreate,
        ["shaping", "prepare-for-fp4-inference", "estimate"] => ShapingRead,
        ["shaping", _, "cancel"] => ShapingCancel,

        [
            "projects",
            _,
            "endpoints",
            _,
            "rollouts",
            "preview-defaults",
        ] => DedicatedRead,
        [
            "projects",
            _,
            "endpoints",
            _,
            "rollouts",
            _,
            "start" | "pause" | "resume" | "promote" | "cancel",
        ] => DedicatedChange,
        ["endpoints", ..] | ["projects", _, "endpoints", ..] => DedicatedCreate,
        ["deployments", _, "rollback"] => DeploymentChange,
        ["deployments", ..] => DeploymentCreate,
        [
            "compute",
            "clusters",
            _,
            "instances",
            _,
            "remediations",
            _,
            "approve" | "cancel" | "reject",
        ] => ClusterChange,
        ["compute", ..] => ClusterCreate,
        ["rl", "model-resources", "estimate-cost"] => RlRead,
        ["rl", "model-resources" | "training-sessions", _, "stop"] => RlChange,
        ["rl", ..] => RlCreate,
        _ => Other,
    }
}

fn get(path: &[&str]) -> Endpoint {
    match *path {
        ["batches"] => BatchList,
        ["batches", _] => BatchGet,
        ["fine-tunes"] => FineTuneList,
        ["fine-tunes", _] => FineTuneGet,
        ["fine-tunes", "models", "supported" | "limits"] => FineTuneModels,
        ["fine-tunes", _, "events"] => FineTuneEvents,
        ["fine-tunes", _, "checkpoints"] => FineTuneCheckpoints,
        ["fine-tunes", _, "metrics"] => FineTuneMetrics,
        ["fine-tunes", _, "download-tokenized-dataset"] | ["finetune", "download"] => {
            FineTuneDownload
        }
        ["videos", _] => VideoGet,
        ["files"] => FileList,
        ["files", _] => FileGet,
        ["files", _, "content"] => FileContent,
        ["evaluation"] => EvaluationList,
        ["evaluation", "model-list"] => EvaluationModels,
        ["evaluation", _] | ["evaluation", _, "status"] => EvaluationGet,
        ["queue", "status"] => QueueStatus,
        ["queue", "metrics"] => QueueMetrics,
        ["audio", "speech", "websocket"] => SpeechRealtime,
        ["realtime"] => TranscriptionRealtime,
        ["voices"] => Voices,
        ["jobs"] | ["jobs", _] | ["projects", _, "models", "uploads", ..] => ModelJobs,
        ["models"]
        | ["supported-models"]
        | ["supported-models", _]
        | ["projects", _, "models" | "configs", ..]
        | ["organizations", _, "models"] => Models,
        ["tci", "sessions"] => CodeSessions,
        ["whoami"] | ["projects"] | ["billing", "usage"] => Account,
        ["hardware"]
        | ["clusters", "availability-zones"]
        | ["public", "inference-instance-types"]
        | ["public", "inference-instance-types", _]
        | ["projects", _, "placement-profiles"]
        | ["projects", _, "placement-profiles", _] => Hardware,
        ["shaping"] | ["shaping", _] | ["shaping", _, "events"] => ShapingRead,

        ["endpoints", ..]
        | ["projects", _, "endpoints", ..]
        | ["organizations", _, "endpoints"] => DedicatedRead,
        ["deployments", ..] => DeploymentRead,
        ["compute", ..] => ClusterRead,
        ["rl", ..] => RlRead,
        _ => Other,
    }
}

fn delete(path: &[&str]) -> Endpoint {
    match *path {
        ["files", _] => FileDelete,
        ["fine-tunes", _] => FineTuneDelete,
        _ => change(path),
    }
}

fn change(path: &[&str]) -> Endpoint {
    match *path {
        ["projects", _, "models", _] => ModelChange,
        ["endpoints", ..] | ["projects", _, "endpoints", ..] => DedicatedChange,
        ["deployments", ..] => DeploymentChange,
        ["compute", ..] => ClusterChange,
        ["rl", ..] => RlChange,
        _ => Other,
    }
}

/// The path's segments without its version, or `None` if there are more than the API has.
fn split<'a, 'r>(path: &'a str, room: &'r mut [&'a str; DEEPEST]) -> Option<&'r [&'a str]> {
    let mut used = 0_usize;
    let mut start = 0;
    let mut versioned = false;
    let bytes = path.as_bytes();
    loop {
        let mut end = start;
        while end < bytes.len() && !matches!(bytes[end], b'/' | b'?' | b'#') {
            end += 1;
        }
        let segment = &path[start..end];
        if used == 0 && !versioned && matches!(segment, "v1" | "v2" | "v3") {
            versioned = true;
        } else if segment == ".." {
            versioned = versioned && used > 0;
            used = used.saturating_sub(1);
        } else if !matches!(segment, "" | ".") {
            *room.get_mut(used)? = segment;
            used += 1;
        }
        if bytes.get(end) != Some(&b'/') {
            return Some(&room[..used]);
        }
        start = end + 1;
    }
}

/// `/projects/{p}/endpoints/{e}/deployments/{d}/adapters/{a}` is as deep as the API goes.
const DEEPEST: usize = 8;
