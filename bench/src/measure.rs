//! Rounds in which every row has its turn.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::row::Row;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    rounds: usize,
    /// What one row's turn is to take.
    turn: Duration,
}

/// What came out for one row: medians.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// With one thread.
    pub one: Cost,
    /// With two, where the row is for two.
    pub two: Option<Cost>,
    /// Nanoseconds with one thread, as a multiple of the same with one key.
    pub to_one_key: Option<f64>,
}

/// The cost of one call.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Nanoseconds of a thread's time.
    pub nanos: f64,
    /// The same, as a multiple of the no-op's with as many threads.
    pub ratio: f64,
    /// Nanoseconds in the best round.
    pub least: f64,
}

impl Plan {
    /// Half a minute.
    pub const FULL: Self = Self {
        rounds: 81,
        turn: Duration::from_millis(8),
    };

    /// A few seconds.
    pub const QUICK: Self = Self {
        rounds: 21,
        turn: Duration::from_millis(4),
    };

    /// Measures the rows.
    pub fn measure(self, rows: &mut [Row], runtime: &Runtime) -> Vec<Measured> {
        let calls: Vec<_> = rows
            .iter_mut()
            .map(|row| self.calls(row, runtime))
            .collect();
        let mut one = vec![Vec::new(); rows.len()];
        let mut two = vec![Vec::new(); rows.len()];
        for _ in 0..self.rounds {
            for (index, row) in rows.iter_mut().enumerate() {
                // The row before has left the caches to it in disorder.
                row.one(runtime, calls[index].0 / 10);
                one[index].push(per_call(row.one(runtime, calls[index].0), calls[index].0));
            }
            for (index, row) in rows.iter_mut().enumerate() {
                let calls = calls[index].1;
                two[index].extend(row.two(calls).map(|took| per_call(took, calls)));
            }
        }
        let two = quietest(&two);
        let cost = |nanos: &[Vec<f64>], row: usize, no_op: usize| Cost {
            nanos: median(nanos[row].iter().copied()),
            ratio: ratio(&nanos[row], &nanos[no_op]),
            least: nanos[row].iter().copied().fold(f64::INFINITY, f64::min),
        };
        let measured = rows.iter().enumerate().map(|(index, row)| Measured {
            one: cost(&one, index, row.no_op),
            two: (!two[index].is_empty()).then(|| cost(&two, index, row.no_op)),
            to_one_key: row.one_key.map(|other| ratio(&one[index], &one[other])),
        });
        measured.collect()
    }

    /// How many calls fill a turn, with one thread and with two.
    fn calls(self, row: &mut Row, runtime: &Runtime) -> (u64, u64) {
        row.prime(runtime);
        let fill = |took: Duration| {
            let turns = self.turn.as_secs_f64() / took.as_secs_f64();
            (turns * TRIAL as f64) as u64 + 1
        };
        let one = fill(row.one(runtime, TRIAL));
        let two = row.two(TRIAL).map_or(one, fill);
        (one, two)
    }
}

/// The quarter of the rounds in which the first row was fastest, of every row. Two threads meet at
/// a lock only while each has a core, and no ratio makes up for one that another program took.
fn quietest(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut rounds: Vec<usize> = (0..rows[0].len()).collect();
    rounds.sort_by(|a, b| rows[0][*a].total_cmp(&rows[0][*b]));
    rounds.truncate(rounds.len().div_ceil(4));
    let of = |row: &Vec<f64>| {
        rounds
            .iter()
            .filter_map(|round| row.get(*round).copied())
            .collect()
    };
    rows.iter().map(of).collect()
}

/// The one in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the rounds' ratios: what slows a whole round slows both alike.
fn ratio(row: &[f64], other: &[f64]) -> f64 {
    median(row.iter().zip(other).map(|(row, other)| row / other))
}

fn per_call(took: Duration, calls: u64) -> f64 {
    took.as_secs_f64() * 1e9 / calls as f64
}

/// Calls to learn a row's speed from.
const TRIAL: u64 = 5_000;
