//! The outcomes of each program's calls, by the program's name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;

/// Programs beyond the first [`MOST`] are counted together.
#[derive(Default)]
pub(crate) struct Programs(BTreeMap<Arc<str>, ProgramCounts>);

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ProgramCounts {
    /// Calls that wait for their turn.
    pub(crate) waiting: u64,
    /// Calls sent.
    pub(crate) sent: u64,
    /// Calls that the gateway rejected.
    pub(crate) rejected: u64,
    /// Calls that failed, rejected ones included.
    pub(crate) errors: u64,
    /// The total wait of the calls sent, in seconds.
    pub(crate) waited: f64,
}

impl Programs {
    pub(crate) fn of(&mut self, name: &Arc<str>) -> &mut ProgramCounts {
        let name = match self.0.len() < MOST || self.0.contains_key(name) {
            true => Arc::clone(name),
            false => OTHERS.into(),
        };
        self.0.entry(name).or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, ProgramCounts> {
        let programs = self.0.iter();
        programs
            .map(|(name, program)| (name.to_string(), program.clone()))
            .collect()
    }
}

impl ProgramCounts {
    pub(crate) fn sent(&mut self, waited: Duration) {
        self.waiting -= 1;
        self.sent += 1;
        self.waited += waited.as_secs_f64();
    }
}

/// Each program is a series of a metric and a row of the page.
const MOST: usize = 100;
const OTHERS: &str = "others";
