use std::{fmt, sync::Barrier, thread, time::Duration};

use tokio::runtime::Runtime;

use crate::calls::{Calls, runtime};

/// A service to be called, by one thread or by two.
pub struct Row {
    /// What starts with this row, if anything does.
    pub heading: Option<&'static str>,
    /// What is called.
    pub name: &'static str,
    /// The row of its no-op.
    pub no_op: usize,
    /// The row that is the same with one key.
    pub one_key: Option<usize>,
    /// How many calls to make at once: a fraction of a millisecond to some milliseconds.
    pub at_once: u64,
    /// How many keys its requests have.
    pub(crate) keys: usize,
    pub(crate) one: Calls,
    pub(crate) two: Option<[Calls; 2]>,
}

impl Row {
    /// One call with each key at least, so that what is made once is made.
    pub fn prime(&mut self, runtime: &Runtime) {
        (self.one)(runtime, self.at_once.max(self.keys as u64));
    }

    /// How long so many calls take.
    pub fn one(&mut self, runtime: &Runtime, calls: u64) -> Duration {
        (self.one)(runtime, calls)
    }

    /// Whether two threads can call it.
    pub fn is_for_two(&self) -> bool {
        self.two.is_some()
    }

    /// How long so many calls take each of two threads; nothing if it is not for two.
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
