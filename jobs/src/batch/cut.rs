//! Requests, cut into files within the limits.

use std::{num::NonZeroUsize, sync::Arc};

use serde_json::{Value, json};

use super::{
    journal::{BatchJournal, BegunBatch},
    outcome::{Missing, Outcome, Reason},
};

/// A request, and its line in a file.
pub(super) struct RequestLine {
    pub(super) index: usize,
    /// Its `custom_id`.
    pub(super) id: String,
    pub(super) request: Value,
    /// The batch of an earlier run that it is in.
    begun: Option<Arc<BegunBatch>>,
    text: String,
}

/// The requests of one batch.
pub(super) struct RequestLines(pub(super) Vec<RequestLine>);

pub(super) enum Piece {
    Batch(RequestLines),
    TooLong(RequestLine),
}

/// Cuts as it is asked to.
pub(super) struct Cut<I> {
    requests: I,
    size: usize,
    longest_line: usize,
    most_bytes: usize,
    journal: Option<BatchJournal>,
    taken: usize,
    /// One that was too much for the piece before it.
    next: Option<RequestLine>,
}

impl<I: Iterator<Item = Value>> Cut<I> {
    pub(super) fn new(requests: I, size: NonZeroUsize, journal: Option<BatchJournal>) -> Self {
        Self {
            requests,
            size: size.get().min(MOST_LINES),
            longest_line: LONGEST_LINE,
            most_bytes: MOST_BYTES,
            journal,
            taken: 0,
            next: None,
        }
    }

    fn line(&mut self) -> Option<RequestLine> {
        if let Some(line) = self.next.take() {
            return Some(line);
        }
        let request = self.requests.next()?;
        let index = self.taken;
        self.taken += 1;
        let journal = self.journal.as_ref();
        let (begun, id) = match journal.and_then(|journal| journal.place(&request)) {
            Some((begun, id)) => (Some(begun), id),
            None => (None, id(index)),
        };
        let mut text = json!({"custom_id": id, "body": &request}).to_string();
        text.push('\n');
        Some(RequestLine {
            index,
            id,
            request,
            begun,
            text,
        })
    }
}

impl<I: Iterator<Item = Value>> Iterator for Cut<I> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut lines = Vec::<RequestLine>::new();
        let mut bytes = 0;
        while lines.len() < self.size {
            let Some(line) = self.line() else { break };
            let long = line.text.len() > self.longest_line;
            let full = bytes + line.text.len() > self.most_bytes;
            if long && lines.is_empty() {
                return Some(Piece::TooLong(line));
            }
            let other = lines.first().is_some_and(|first| !first.is_with(&line));
            if long || full || other {
                self.next = Some(line);
                break;
            }
            bytes += line.text.len();
            lines.push(line);
        }
        (!lines.is_empty()).then_some(Piece::Batch(RequestLines(lines)))
    }
}

impl RequestLine {
    /// Whether both are in one batch of an earlier run, or both in none.
    fn is_with(&self, other: &Self) -> bool {
        let batch = |line: &Self| line.begun.as_ref().map(Arc::as_ptr);
        batch(self) == batch(other)
    }

    pub(super) fn missing(self, reason: Reason) -> Outcome {
        Outcome {
            index: self.index,
            result: Err(Missing {
                request: self.request,
                reason,
            }),
        }
    }
}

impl RequestLines {
    /// The batch of an earlier run that they are in.
    pub(super) fn begun(&self) -> Option<Arc<BegunBatch>> {
        self.0.first()?.begun.clone()
    }

    /// The `custom_id` of each, and its body.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|line| (&*line.id, &line.request))
    }

    pub(super) fn text(&self) -> String {
        self.0.iter().map(|line| &*line.text).collect()
    }

    /// All of them are missing, for one reason.
    pub(super) fn missing(self, reason: &Reason) -> Vec<Outcome> {
        let lines = self.0.into_iter();
        lines.map(|line| line.missing(reason.clone())).collect()
    }
}

/// The `custom_id` of a line: unique, and far below the 64 characters that it may have.
fn id(index: usize) -> String {
    format!("request-{index}")
}

/// The limits of a file that Together documents (docs.together.ai/docs/inference/batch/overview).
const MOST_LINES: usize = 50_000;
const MOST_BYTES: usize = 100_000_000;
const LONGEST_LINE: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(requests: impl Iterator<Item = Value>, size: usize) -> Vec<Option<usize>> {
        sizes_of(Cut::new(requests, NonZeroUsize::new(size).unwrap(), None))
    }

    /// The number of requests in each batch; `None` for a request that is too long.
    fn sizes_of(cut: Cut<impl Iterator<Item = Value>>) -> Vec<Option<usize>> {
        let mut next = 0;
        cut.map(|piece| match piece {
            Piece::Batch(lines) => {
                for line in &lines.0 {
                    assert_eq!(line.index, next);
                    next += 1;
                }
                assert!(lines.text().len() <= MOST_BYTES);
                Some(lines.0.len())
            }
            Piece::TooLong(line) => {
                assert_eq!(line.index, next);
                next += 1;
                None
            }
        })
        .collect()
    }

    #[test]
    fn a_batch_has_as_many_as_it_may_and_the_last_what_is_left() {
        let requests = || (0..250).map(|number| json!({"number": number}));
        assert_eq!(sizes(requests(), 100), [Some(100), Some(100), Some(50)]);
        assert_eq!(sizes(requests(), 250), [Some(250)]);
        assert!(sizes(std::iter::empty(), 1).is_empty());
    }

    #[test]
    fn a_batch_has_no_more_requests_than_together_allows() {
        let many = (0..MOST_LINES + 1).map(|_| json!({}));
        assert_eq!(sizes(many, usize::MAX), [Some(MOST_LINES), Some(1)]);
    }

    #[test]
    fn a_line_and_a_file_may_be_exactly_as_large_as_their_limits() {
        // The line of a request of 100 bytes.
        let line = r#"{"body":"","custom_id":"request-0"}"#.len() + 1 + 100;
        let sizes = |bytes: &[usize], most_bytes| {
            let text = |bytes: &usize| Value::from("x".repeat(*bytes));
            sizes_of(Cut {
                longest_line: line,
                most_bytes,
                ..Cut::new(bytes.iter().map(text), NonZeroUsize::MAX, None)
            })
        };
        for (bytes, most, expected) in [
            (&[100, 100][..], 2 * line, &[Some(2)][..]),
            (&[100, 100], 2 * line - 1, &[Some(1), Some(1)]),
            (&[100, 100, 100], 2 * line + 1, &[Some(2), Some(1)]),
            (&[101], 2 * line, &[None]),
            (&[100, 101, 100], 9 * line, &[Some(1), None, Some(1)]),
        ] {
            assert_eq!(sizes(bytes, most), expected, "{bytes:?} in {most}");
        }
    }

    #[test]
    fn a_file_is_no_larger_than_it_may_be_and_a_line_neither() {
        let text = |bytes: usize| Value::from("x".repeat(bytes));
        let large = (0..11).map(|_| text(9_990_000));
        assert_eq!(sizes(large, 100), [Some(10), Some(1)]);
        let mixed = [5, LONGEST_LINE, 5].into_iter().map(text);
        assert_eq!(sizes(mixed, 100), [Some(1), None, Some(1)]);
    }
}
