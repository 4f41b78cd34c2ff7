//! The operations of the API, one name each.

use std::fmt;

use http::Method;

mod route;
pub(crate) use self::route::normal;
#[cfg(test)]
mod tests;

/// One class of operation of the Together API. Limits, retries and metrics tell these apart.
///
/// Inference has one class a route. An operation that creates something that runs or costs (a fine-tune,
/// batch, file, video, dedicated endpoint, ...) has a class of its own, apart from listing, reading and
/// stopping: see [`creates`](Endpoint::creates). The routes are those of the OpenAPI specification
/// (`togethercomputer/openapi`) and of the official SDKs (`together` 3.1 for Python, `together-ai` 0.52 for
/// TypeScript).
///
/// ```
/// use http::Method;
/// use tower_together::Endpoint;
///
/// let chat = Endpoint::of(&Method::POST, "/v1/chat/completions");
/// assert_eq!(chat, Endpoint::ChatCompletions);
/// assert_eq!(chat.name(), "chat-completions");
/// assert!(Endpoint::of(&Method::POST, "/v1/batches").creates());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /chat/completions`.
    ChatCompletions,
    /// `POST /completions`.
    Completions,
    /// `POST /embeddings`.
    Embeddings,
    /// `POST /rerank`.
    Rerank,
    /// `POST /images/generations`, edits included.
    Images,
    /// `POST /audio/speech`.
    Speech,
    /// `GET /audio/speech/websocket`: speech over a websocket.
    SpeechRealtime,
    /// `POST /audio/transcriptions`.
    Transcriptions,
    /// `POST /audio/translations`.
    Translations,
    /// `GET /realtime`: transcription over a websocket.
    TranscriptionRealtime,
    /// `GET /voices`.
    Voices,
    /// `POST /videos`: starts a video job.
    VideoCreate,
    /// `GET /videos/{id}`.
    VideoGet,

    /// Lists or reads models: `GET /models`, `/supported-models`, and a project's or an organization's
    /// own models and configurations.
    Models,
    /// `POST /models`, and adding a model or an upload to a project.
    ModelUpload,
    /// The state of model uploads: `GET /jobs`, `GET /projects/{p}/models/uploads`.
    ModelJobs,
    /// Changes or deletes a project's model.
    ModelChange,

    /// Begins a file: `POST /files/upload`, `/files`, `/files/multipart/initiate`.
    FileUpload,
    /// The later steps of an upload: `POST /files/{id}/preprocess`,
    /// `/files/multipart/complete`, `/files/multipart/abort`.
    FileUploadStep,
    /// `GET /files`.
    FileList,
    /// `GET /files/{id}`.
    FileGet,
    /// `GET /files/{id}/content`.
    FileContent,
    /// `DELETE /files/{id}`.
    FileDelete,

    /// `POST /fine-tunes`: starts a fine-tuning job.
    FineTuneCreate,
    /// `GET /fine-tunes`.
    FineTuneList,
    /// `GET /fine-tunes/{id}`.
    FineTuneGet,
    /// `POST /fine-tunes/{id}/cancel`.
    FineTuneCancel,
    /// `DELETE /fine-tunes/{id}`.
    FineTuneDelete,
    /// `GET /fine-tunes/{id}/events`.
    FineTuneEvents,
    /// `GET /fine-tunes/{id}/checkpoints`.
    FineTuneCheckpoints,
    /// `GET /fine-tunes/{id}/metrics`.
    FineTuneMetrics,
    /// `GET /finetune/download` and `GET /fine-tunes/{id}/download-tokenized-dataset`.
    FineTuneDownload,
    /// `POST /fine-tunes/estimate-price` and `POST /fine-tunes/preview`, which start nothing.
    FineTuneEstimate,
    /// `GET /fine-tunes/models/supported` and `GET /fine-tunes/models/limits`.
    FineTuneModels,

    /// `POST /batches`: starts a batch.
    BatchCreate,
    /// `GET /batches`.
    BatchList,
    /// `GET /batches/{id}`.
    BatchGet,
    /// `POST /batches/{id}/cancel`.
    BatchCancel,

    /// `POST /evaluation`: starts an evaluation.
    EvaluationCreate,
    /// `GET /evaluation`.
    EvaluationList,
    /// `GET /evaluation/{id}` and `GET /evaluation/{id}/status`.
    EvaluationGet,
    /// `GET /evaluation/model-list`.
    EvaluationModels,

    /// `POST /tci/execute`: runs code.
    CodeExecute,
    /// `GET /tci/sessions`.
    CodeSessions,

    /// The account of the key: `GET /whoami`, `/projects`, `/billing/usage`.
    Account,

    /// Creates a dedicated endpoint, or a deployment, adapter, rollout or experiment of one.
    DedicatedCreate,
    /// Lists or reads dedicated endpoints, and all below them.
    DedicatedRead,
    /// Changes, starts, stops or deletes a dedicated endpoint, or something below it.
    DedicatedChange,
    /// Hardware that dedicated endpoints can run on: `GET /hardware`, `/clusters/availability-zones`,
    /// `/public/inference-instance-types`, `/projects/{p}/placement-profiles`.
    Hardware,

    /// Creates a container deployment, secret or volume: `POST /deployments`, ...
    DeploymentCreate,
    /// Lists or reads container deployments, their logs, revisions, secrets and volumes.
    DeploymentRead,
    /// Changes, rolls back or deletes a container deployment, secret or volume.
    DeploymentChange,
    /// `POST /queue/submit`: adds a job to a deployment's queue.
    QueueSubmit,
    /// `GET /queue/status`.
    QueueStatus,
    /// `GET /queue/metrics`.
    QueueMetrics,
    /// `POST /queue/cancel`.
    QueueCancel,
    /// `POST /queue/clear`.
    QueueClear,

    /// Creates a GPU cluster, volume or remediation: `POST /compute/clusters`, ...
    ClusterCreate,
    /// Lists or reads GPU clusters, volumes, regions and remediations.
    ClusterRead,
    /// Changes, decides or deletes a GPU cluster, volume or remediation.
    ClusterChange,

    /// Creates a reinforcement-learning session, operation or resource: `POST /rl/...`.
    RlCreate,
    /// Reads reinforcement-learning sessions, operations, resources and checkpoints.
    RlRead,
    /// Changes or stops a reinforcement-learning session or resource.
    RlChange,
    /// `POST /shaping/prepare-for-fp4-inference`: starts a job that prepares a model.
    ShapingCreate,
    /// `GET /shaping`, `/shaping/{id}`, `/shaping/{id}/events`, and the estimate.
    ShapingRead,
    /// `POST /shaping/{id}/cancel`.
    ShapingCancel,

    /// A path or method that is not known to be Together's.
    Other,
    /// An operation of some other service, made by [`custom`](Endpoint::custom). [`of`](Endpoint::of) never
    /// returns it.
    Custom(CustomName),
}

/// The name of a [`custom`](Endpoint::custom) endpoint. It is private, so that it can be stored in another way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomName(&'static str);

impl fmt::Debug for CustomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Endpoint {
    /// The endpoint of a request with this method and path.
    ///
    /// The path may begin with `/v1`, `/v2`, `/v3` or no version (SDKs differ), may end with a slash or
    /// repeat one, and may carry a query, which is ignored. Case counts. An unknown route is
    /// [`Other`](Endpoint::Other). Allocates nothing.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        route::route(method, path)
    }

    /// An operation of some other service, by a name of your own. Return it from
    /// [`Classify::with`](crate::Classify::with), and give it limits.
    ///
    /// ```
    /// use tower_together::{Endpoint, Limits, Quota};
    ///
    /// const GENERATE: Endpoint = Endpoint::custom("generate");
    /// let limits = Limits::none().requests(GENERATE, Quota::per_minute(60)?);
    /// # Ok::<(), tower_together::Error>(())
    /// ```
    #[must_use]
    pub const fn custom(name: &'static str) -> Self {
        Self::Custom(CustomName(name))
    }

    /// A stable name in kebab case, made for metric labels.
    ///
    /// Names do not change between releases. A [`custom`](Endpoint::custom) endpoint has the name that it was
    /// given.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat-completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::SpeechRealtime => "speech-realtime",
            Self::Transcriptions => "transcriptions",
            Self::Translations => "translations",
            Self::TranscriptionRealtime => "transcription-realtime",
            Self::Voices => "voices",
            Self::VideoCreate => "video-create",
            Self::VideoGet => "video-get",
            Self::Models => "models",
            Self::ModelUpload => "model-upload",
            Self::ModelJobs => "model-jobs",
            Self::ModelChange => "model-change",
            Self::FileUpload => "file-upload",
            Self::FileUploadStep => "file-upload-step",
            Self::FileList => "file-list",
            Self::FileGet => "file-get",
            Self::FileContent => "file-content",
            Self::FileDelete => "file-delete",
            Self::FineTuneCreate => "fine-tune-create",
            Self::FineTuneList => "fine-tune-list",
            Self::FineTuneGet => "fine-tune-get",
            Self::FineTuneCancel => "fine-tune-cancel",
            Self::FineTuneDelete => "fine-tune-delete",
            Self::FineTuneEvents => "fine-tune-events",
            Self::FineTuneCheckpoints => "fine-tune-checkpoints",
            Self::FineTuneMetrics => "fine-tune-metrics",
            Self::FineTuneDownload => "fine-tune-download",
            Self::FineTuneEstimate => "fine-tune-estimate",
            Self::FineTuneModels => "fine-tune-models",
            Self::BatchCreate => "batch-create",
            Self::BatchList => "batch-list",
            Self::BatchGet => "batch-get",
            Self::BatchCancel => "batch-cancel",
            Self::EvaluationCreate => "evaluation-create",
            Self::EvaluationList => "evaluation-list",
            Self::EvaluationGet => "evaluation-get",
            Self::EvaluationModels => "evaluation-models",
            Self::CodeExecute => "code-execute",
            Self::CodeSessions => "code-sessions",
            Self::Account => "account",
            Self::DedicatedCreate => "dedicated-create",
            Self::DedicatedRead => "dedicated-read",
            Self::DedicatedChange => "dedicated-change",
            Self::Hardware => "hardware",
            Self::DeploymentCreate => "deployment-create",
            Self::DeploymentRead => "deployment-read",
            Self::DeploymentChange => "deployment-change",
            Self::QueueSubmit => "queue-submit",
            Self::QueueStatus => "queue-status",
            Self::QueueMetrics => "queue-metrics",
            Self::QueueCancel => "queue-cancel",
            Self::QueueClear => "queue-clear",
            Self::ClusterCreate => "cluster-create",
            Self::ClusterRead => "cluster-read",
            Self::ClusterChange => "cluster-change",
            Self::RlCreate => "rl-create",
            Self::RlRead => "rl-read",
            Self::RlChange => "rl-change",
            Self::ShapingCreate => "shaping-create",
            Self::ShapingRead => "shaping-read",
            Self::ShapingCancel => "shaping-cancel",
            Self::Other => "other",
            Self::Custom(CustomName(name)) => name,
        }
    }

    /// Whether the request creates something (a job, a file, a machine), so that sending it twice could
    /// create two.
    ///
    /// No idempotency key protects these: the specification has none and no SDK sends one. `false` for
    /// [`Other`](Endpoint::Other) and [`custom`](Endpoint::custom) endpoints, whose effect is unknown: decide by the
    /// method there.
    #[must_use]
    pub const fn creates(self) -> bool {
        matches!(
            self,
            Self::VideoCreate
                | Self::ModelUpload
                | Self::FileUpload
                | Self::FileUploadStep
                | Self::FineTuneCreate
                | Self::BatchCreate
                | Self::EvaluationCreate
                | Self::CodeExecute
                | Self::DedicatedCreate
                | Self::DeploymentCreate
                | Self::QueueSubmit
                | Self::ClusterCreate
                | Self::RlCreate
                | Self::ShapingCreate
        )
    }

    /// Whether a model generates the response, at a price by its length. The response takes minutes, and is
    /// paid for even if the caller no longer waits for it.
    pub(crate) const fn generates(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Images
                | Self::Speech
                | Self::Transcriptions
                | Self::Translations
                | Self::VideoCreate
        )
    }

    /// Whether the request's body names the model that is to respond, in JSON or, for transcriptions and
    /// translations, in a multipart field.
    ///
    /// Together's limits on inference go by model. Jobs whose body names a model to work *on* (a fine-tune,
    /// an evaluation) do not count. WebSockets name their model in the query.
    #[must_use]
    pub const fn takes_model(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Embeddings
                | Self::Rerank
                | Self::Images
                | Self::Speech
                | Self::Transcriptions
                | Self::Translations
                | Self::VideoCreate
        )
    }

    /// Whether the cost in tokens can be read from the requests or from their responses.
    pub(crate) const fn costs_tokens(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions | Self::Completions | Self::Embeddings | Self::Rerank
        )
    }
}

/// Writes [`name`](Endpoint::name).
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
