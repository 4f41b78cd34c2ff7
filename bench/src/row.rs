use std::{fmt, sync::Barrier, thread, time::Duration};

use tokio::runtime::Runtime;

use crate::calls::{Calls, runtime};

/// A service to be measured, called by one thread or by two.
pub struct Row {
    /// The heading above this row, if a section starts here.
    pub heading: Option<&'static str>,
    /// The name of the service.
    pub name: &'static str,
    /// The index of its no-op's row.
    pub no_op: usize,
    /// The index of the same row with one key.
    pub one_key: Option<usize>,
    /// Calls per sample, which take from a fraction of a millisecond to some milliseconds.
    pub at_once: u64,
    /// The number of keys in its requests.
    pub(crate) keys: usize,
    pub(crate) one: Calls,
    pub(crate) two: Option<[Calls; 2]>,
}

impl Row {
    /// Makes at least one call with each key, so that everything that is made once exists.
    pub fn prime(&mut self, runtime: &Runtime) {
        (self.one)(runtime, self.at_once.max(self.keys as u64));
    }

    /// How long `calls` calls take.
    pub fn one(&mut self, runtime: &Runtime, calls: u64) -> Duration {
        (self.one)(runtime, calls)
    }

    /// Whether two threads can call it.
    pub fn is_for_two(&self) -> bool {
        self.two.is_some()
    }

    /// How long `calls` calls take each of two threads; zero if two threads cannot call it.
    pub fn two(&mut self, calls: u64) -> Duration {
        let start = &Barrier::new(2);
        let both = self.two.iter_mut().flatten();
        let took: Duration = thread::scope(|scope| {
            let threads: Vec<_> = both
                .map(|run| {
                    scope.spawn(move || {
                        let runtime = runtime();
                        run(&runtime, calls / 10);
                        start.wait();
                        run(&runtime, calls)
                    })
                })
                .collect();
            let took = threads.into_iter().map(|thread| thread.join());
            took.map(|took| took.expect("the loop does not panic"))
                .sum()
        });
        took / 2
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
