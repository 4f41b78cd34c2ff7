use std::sync::Arc;

use super::Endpoint;

/// The kinds of jobs that Together runs for hours, and whose states can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKind {
    FineTune,
    Batch,
}

/// The state of one job, as a response states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    /// Whether the job has ended for good. An unknown state does not count as ended.
    pub(crate) ended: bool,
}

impl JobKind {
    pub(crate) const ALL: [Self; 2] = [Self::FineTune, Self::Batch];

    /// The kind of job that requests to `endpoint` are about.
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

    /// The endpoint that creates such a job.
    pub(crate) fn creation(self) -> Endpoint {
        match self {
            Self::FineTune => Endpoint::FineTuneCreate,
            Self::Batch => Endpoint::BatchCreate,
        }
    }

    /// The last segment of the path of the kind's list. The path of a job has the job's id after it.
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
