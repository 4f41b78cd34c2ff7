use std::sync::Arc;

use super::Endpoint;

/// The jobs that Together runs for hours, and whose states can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    FineTune,
    Batch,
}

/// What an answer says of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    /// Whether it will not run any more. What a state that nobody knows means is not guessed.
    pub(crate) ended: bool,
}

impl JobKind {
    pub(crate) const ALL: [Self; 2] = [Self::FineTune, Self::Batch];

    /// The kind that requests of this class are about.
    pub(crate) fn of(endpoint: Endpoint) -> Option<Self> {
        use Endpoint::{
            BatchCancel, BatchCreate, BatchGet, BatchList, FineTuneCancel, FineTuneCreate,
            FineTuneDelete, FineTuneGet, FineTuneList,
        };
        match endpoint {
            FineTuneCreate | FineTuneGet | FineTuneList | FineTuneCancel | FineTuneDelete => {
                Some(Self::FineTune)
            }
            BatchCreate | BatchGet | BatchList | BatchCancel => Some(Self::Batch),
            _ => None,
        }
    }

    /// The class of the requests that create one.
    pub(crate) fn creation(self) -> Endpoint {
        match self {
            Self::FineTune => Endpoint::FineTuneCreate,
            Self::Batch => Endpoint::BatchCreate,
        }
    }

    /// The last segment of the path of its list; a job's own follows it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::FineTune => "fine-tunes",
            Self::Batch => "batches",
        }
    }

    /// The job that a path names.
    pub(crate) fn named_in(self, path: &str) -> Option<&str> {
        let mut segments = path
            .split('/')
            .skip_while(|segment| *segment != self.path());
        segments.nth(1).filter(|id| !id.is_empty())
    }
}
