use std::{collections::BTreeMap, fmt::Display, time::Duration};

/// Counts what comes of many items, and says so in words: how far a run is, and what failed, grouped by reason.
///
/// ```
/// use std::time::Duration;
/// use tower_together_jobs::Tally;
///
/// let mut tally = Tally::new("texts").with_total(804);
/// tally.success();
/// tally.failure("402 Payment Required", "notes/a.txt");
/// tally.failure("402 Payment Required", "notes/b.txt");
/// assert_eq!(
///     tally.progress(Duration::from_secs(1)),
///     "3 of 804 texts, 2 failed, 180 a minute, 4 min 27 s left"
/// );
/// let failures: Vec<_> = tally.failures().collect();
/// assert_eq!(failures, ["2 texts failed: 402 Payment Required (the first: notes/a.txt)"]);
/// ```
#[derive(Clone, Debug)]
pub struct Tally {
    what: &'static str,
    total: Option<u64>,
    known: u64,
    succeeded: u64,
    failed: u64,
    kinds: BTreeMap<String, Kind>,
}

/// Failures for one reason.
#[derive(Clone, Debug)]
struct Kind {
    count: u64,
    first: String,
}

impl Tally {
    /// Counts `what`, such as "texts".
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            total: None,
            known: 0,
            succeeded: 0,
            failed: 0,
            kinds: BTreeMap::new(),
        }
    }

    /// The number of items that there are. Default: not known.
    #[must_use]
    pub fn with_total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// Counts an item that need not be sent, for it has a result: no rate is made of it.
    pub fn known(&mut self) {
        self.known += 1;
    }

    /// Counts an item that succeeded.
    pub fn success(&mut self) {
        self.succeeded += 1;
    }

    /// Counts an item that failed, and for which reason: [`Failure::kind`](crate::Failure::kind), for one. `item`
    /// is its name, and is shown for the first of each reason. After a hundred reasons the others are counted as
    /// one.
    pub fn failure(&mut self, why: impl Into<String>, item: impl Display) {
        self.failed += 1;
        let mut why = why.into();
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&why) {
            why = "other reasons".to_owned();
        }
        let kind = self.kinds.entry(why).or_insert_with(|| Kind {
            count: 0,
            first: item.to_string(),
        });
        kind.count += 1;
    }

    /// The number of items that are done: known, succeeded or failed.
    pub fn done(&self) -> u64 {
        self.known + self.succeeded + self.failed
    }

    /// The number of items that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// The number of items that failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How far the run is after `elapsed`, in a line.
    pub fn progress(&self, elapsed: Duration) -> String {
        let sent = self.succeeded + self.failed;
        let done = self.done();
        let seconds = elapsed.as_secs_f64();
        let mut line = match self.total {
            Some(total) => format!("{done} of {total} {}", self.what),
            None => format!("{done} {}", self.what),
        };
        if self.failed > 0 {
            line += &format!(", {} failed", self.failed);
        }
        if sent > 0 && seconds > 0.0 {
            line += &format!(", {:.0} a minute", 60.0 * sent as f64 / seconds);
            if let Some(left) = self.total.and_then(|total| total.checked_sub(done)) {
                let left = seconds * left as f64 / sent as f64;
                line += &format!(", {} left", words(left.round() as u64));
            }
        }
        line
    }

    /// A line for each reason, the most frequent first: at most ten, and one for the others.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.count));
        let others: u64 = kinds.iter().skip(SHOWN).map(|(_, kind)| kind.count).sum();
        let shown = kinds.into_iter().take(SHOWN).map(|(why, kind)| {
            let Kind { count, first } = kind;
            match count {
                1 => format!("failed: {why} ({first})"),
                count => format!("{count} {} failed: {why} (the first: {first})", self.what),
            }
        });
        let others =
            (others > 0).then(|| format!("{others} {} failed for other reasons", self.what));
        shown.chain(others)
    }
}

/// A time in words: the two largest of its units.
fn words(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {seconds} s"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Reasons that are kept, so that memory has a bound.
const KINDS: usize = 100;
/// Reasons that are shown.
const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        for (seconds, said) in [(0, "0 s"), (60, "1 min 0 s"), (7_380, "2 h 3 min")] {
            assert_eq!(words(seconds), said);
        }
    }

    #[test]
    fn progress_is_said_before_there_is_any_and_without_a_total() {
        let mut tally = Tally::new("texts");
        assert_eq!(tally.progress(Duration::ZERO), "0 texts");
        tally.success();
        assert_eq!(
            tally.progress(Duration::from_secs(30)),
            "1 texts, 2 a minute"
        );
    }

    #[test]
    fn what_was_known_is_done_and_makes_no_rate() {
        let mut tally = Tally::new("texts").with_total(10);
        (0..6).for_each(|_| tally.known());
        let said = tally.progress(Duration::from_secs(30));
        assert_eq!(said, "6 of 10 texts");
        tally.success();
        let said = tally.progress(Duration::from_secs(30));
        assert_eq!(said, "7 of 10 texts, 2 a minute, 1 min 30 s left");
    }

    /// A server that names the request in its message made a line of each.
    #[test]
    fn ten_reasons_are_shown_and_a_hundred_kept() {
        let mut tally = Tally::new("texts");
        for number in 0..1_000 {
            tally.failure(format!("no {number:04}"), number);
        }
        tally.failure("no 0002", 2);
        assert_eq!(tally.kinds.len(), KINDS + 1);
        let said: Vec<_> = tally.failures().collect();
        assert_eq!(said.len(), SHOWN + 1);
        assert_eq!(said[0], "900 texts failed: other reasons (the first: 100)");
        assert_eq!(said[1], "2 texts failed: no 0002 (the first: 2)");
        assert_eq!(said[2], "failed: no 0000 (0)");
        assert_eq!(said[SHOWN], "91 texts failed for other reasons");
        assert_eq!((tally.succeeded(), tally.failed()), (0, 1_001));
    }
}
