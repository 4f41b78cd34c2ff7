//! The responses that wait for their requests.

use std::collections::{HashMap, VecDeque};

use crate::{answer::Answer, route::unversioned};

/// The queues of responses, by method and path.
#[derive(Debug, Default)]
pub(crate) struct Script {
    queues: HashMap<(String, String), VecDeque<Answer>>,
}

impl Script {
    pub(crate) fn push(&mut self, method: &str, path: &str, response: Answer) {
        self.queues
            .entry(place(method, path))
            .or_default()
            .push_back(response);
    }

    /// The next response for a request, if there is one; it has been used then.
    pub(crate) fn next(&mut self, method: &str, path: &str) -> Option<Answer> {
        self.next_if(method, path, |_| true)
    }

    /// The same, but only if it is one to give before the body is read.
    pub(crate) fn next_early(&mut self, method: &str, path: &str) -> Option<Answer> {
        self.next_if(method, path, Answer::is_early)
    }

    fn next_if(
        &mut self,
        method: &str,
        path: &str,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Option<Answer> {
        let queue = self.queues.get_mut(&place(method, path))?;
        let response = queue.front_mut().filter(|response| wanted(response))?;
        if response.times == 1 {
            return queue.pop_front();
        }
        response.times -= 1;
        Some(response.clone())
    }
}

fn place(method: &str, path: &str) -> (String, String) {
    (method.to_owned(), unversioned(path).to_owned())
}
