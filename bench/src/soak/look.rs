//! The memory and the descriptors of a process.

use std::{fmt, fs};

use tower_together::Limiter;

/// The memory and descriptors of this process at an instant, and the limiter in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Look {
    /// The requests that have ended so far.
    pub requests: u64,
    /// The memory that is resident, in bytes.
    pub memory: u64,
    /// The open files and sockets.
    pub descriptors: u64,
    /// The keys that the limiter remembers.
    pub keys: u64,
    /// The lanes of these keys.
    pub lanes: u64,
}

impl Look {
    pub(super) fn now(limiter: &Limiter, requests: u64) -> Result<Self, String> {
        let why = |error| format!("this needs Linux' /proc: {error}");
        let memory = fs::read_to_string("/proc/self/statm").map_err(why)?;
        let pages = memory
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok());
        let pages: u64 = pages.ok_or("/proc/self/statm has no resident pages")?;
        let snapshot = limiter.snapshot();
        Ok(Self {
            requests,
            memory: pages * PAGE,
            descriptors: fs::read_dir("/proc/self/fd").map_err(why)?.count() as u64,
            keys: snapshot.keys as u64,
            lanes: snapshot.lanes.len() as u64,
        })
    }
}

/// The figures that have grown: those that are always higher in the last quarter than they ever were in the second.
pub(super) fn growth(looks: &[Look], most_keys: u64) -> Option<String> {
    let quarter = looks.len() / 4;
    let before = &looks[quarter..2 * quarter];
    let after = &looks[looks.len() - quarter..];
    if before.last()?.requests >= after.last()?.requests {
        return Some("nothing is sent any more".to_owned());
    }
    let grew = |what, of: fn(&Look) -> u64, by: u64| {
        let most = before.iter().map(of).max()?;
        let least = after.iter().map(of).min()?;
        (least > most + by).then(|| format!("{what} grew from {most} to {least}"))
    };
    let keys = looks.iter().map(|look| look.keys).max()?;
    let keys = (keys > most_keys).then(|| format!("the limiter remembers {keys} keys"));
    keys.or_else(|| grew("memory", |look| look.memory, A_LITTLE))
        .or_else(|| grew("descriptors", |look| look.descriptors, 8))
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            memory,
            descriptors,
            keys,
            lanes,
        } = self;
        let memory = *memory as f64 / f64::from(1 << 20);
        write!(
            f,
            "{requests:>12} requests {memory:>8.1} MiB {descriptors:>5} descriptors {keys:>5} keys {lanes:>5} lanes"
        )
    }
}

const PAGE: u64 = 4_096;
/// The allocator and the connections of the moment take that much more or less.
const A_LITTLE: u64 = 4 << 20;
