use std::fmt;

use serde_json::Value;

/// The result of one fine-tune.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FineTune {
    /// The request's place among those given, from 0.
    pub index: usize,
    /// The request.
    pub request: Value,
    /// The completed job, as `GET /fine-tunes/{id}` tells it; or why there is none.
    pub result: Result<Value, Untrained>,
}

/// Why a fine-tune did not complete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Untrained {
    /// The request has no `suffix`, or that of another: after a restart nobody could tell whether its job
    /// was created. Nothing was sent.
    NoSuffix,
    /// No job was created. In words, why.
    NotCreated(String),
    /// A job was created, as far as anybody knows: the response was lost, and `GET /fine-tunes` does not show
    /// it yet. No other was created. In words, why.
    MayExist(String),
    /// The job ended otherwise, or is not there any more.
    Ended {
        /// The job.
        id: String,
        /// Its state: `error`, `user_error`, `cancelled`, or `gone`.
        status: String,
    },
    /// The state of the job could not be read; the job may go on.
    Lost {
        /// The job.
        id: String,
        /// Why, in words.
        message: String,
    },
}

impl fmt::Display for Untrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuffix => f.write_str(
                "not sent: write a `suffix` that no other request has, by which its job is found \
                 again after a restart",
            ),
            Self::NotCreated(why) => write!(f, "no job could be created: {why}"),
            Self::MayExist(why) => write!(
                f,
                "a job may have been created: {why}; look for its suffix at GET /fine-tunes before \
                 you start this again"
            ),
            Self::Ended { id, status } => write!(f, "job {id} ended: {status}"),
            Self::Lost { id, message } => {
                write!(f, "what became of job {id} could not be read: {message}")
            }
        }
    }
}

impl std::error::Error for Untrained {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_why_there_is_no_model() {
        let id = || "ft-1".to_owned();
        for (why, says) in [
            (
                Untrained::NoSuffix,
                "not sent: write a `suffix` that no other request has, by which its job is found \
                 again after a restart",
            ),
            (
                Untrained::NotCreated("403".into()),
                "no job could be created: 403",
            ),
            (
                Untrained::MayExist("502".into()),
                "a job may have been created: 502; look for its suffix at GET /fine-tunes before \
                 you start this again",
            ),
            (
                Untrained::Ended {
                    id: id(),
                    status: "cancelled".into(),
                },
                "job ft-1 ended: cancelled",
            ),
            (
                Untrained::Lost {
                    id: id(),
                    message: "503".into(),
                },
                "what became of job ft-1 could not be read: 503",
            ),
        ] {
            assert_eq!(why.to_string(), says);
        }
    }
}
