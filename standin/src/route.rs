//! The routes the stand-in knows.

/// A route of the API. A version before the path makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Route {
    /// `POST /chat/completions`
    Chat,
    /// `POST /completions`
    Completions,
    /// `POST /embeddings`
    Embeddings,
    /// `POST /images/generations`
    Images,
    /// `GET /models`
    Models,
    /// `GET /supported-models`
    SupportedModels,
    /// Any other method or path: a scripted response, else a 404.
    Other,
}

impl Route {
    /// The route of a method and a path.
    pub fn of(method: &str, path: &str) -> Self {
        match (method, unversioned(path)) {
            ("POST", "/chat/completions") => Self::Chat,
            ("POST", "/completions") => Self::Completions,
            ("POST", "/embeddings") => Self::Embeddings,
            ("POST", "/images/generations") => Self::Images,
            ("GET", "/models") => Self::Models,
            ("GET", "/supported-models") => Self::SupportedModels,
            _ => Self::Other,
        }
    }

    /// The name it has in `GET /standin/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Models => "models",
            Self::SupportedModels => "supported-models",
            Self::Other => "other",
        }
    }
}

/// The path without its version: official clients differ in where they put it, and in which.
pub(crate) fn unversioned(path: &str) -> &str {
    ["/v1", "/v2", "/v3"]
        .iter()
        .find_map(|version| path.strip_prefix(version))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}
