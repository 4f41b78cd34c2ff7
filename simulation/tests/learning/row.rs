//! A line of the tables: several seeds of a setting, and the assertions on them.

use std::{fmt::Write as _, ops::Range};

use simulation::{
    run::{Client, Run},
    say,
    server::Says,
    setting::Setting,
    tally::{Tally, total},
};

/// The runs of one setting, one for each seed.
pub(crate) struct Row {
    name: String,
    /// The seconds at which the limit steps.
    steps: Vec<u64>,
    /// Seconds after a step by which the pace should be that of the limit.
    follows: usize,
    runs: Vec<Run>,
}

/// The minimum, the mean and the maximum of the seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) mean: f64,
    pub(crate) most: f64,
}

impl Row {
    pub(crate) fn of(name: &str, setting: &Setting<Client>, seeds: Range<u64>) -> Self {
        let steps = setting.servers[0].moves.steps();
        let row = Self {
            name: format!("{name}, {:?}", setting.says),
            steps: steps.iter().map(|(at, _)| *at).collect(),
            follows: match setting.says {
                Says::Limits | Says::PerMinute | Says::Exact => 20,
                Says::Wait | Says::Nothing => 60,
            },
            runs: seeds.map(|seed| setting.run(seed)).collect(),
        };
        say(format_args!("{row}"));
        row
    }

    pub(crate) fn used(&self) -> Spread {
        self.spread(Tally::used)
    }

    /// 429s as a share of all responses, in percent.
    pub(crate) fn rejected_share(&self) -> Spread {
        self.spread(Tally::rejected_share)
    }

    pub(crate) fn rejected(&self) -> Spread {
        self.spread(|tally| f64::from(total(&tally.rejected[tally.from..])))
    }

    pub(crate) fn spread(&self, figure: impl Fn(&Tally) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(|run| figure(&run.tallies[0])))
    }

    /// Asserts, for every seed, that at least `used` percent were used and at most `rejected` percent got a 429.
    pub(crate) fn assert(&self, used: f64, rejected: f64) -> &Self {
        for run in &self.runs {
            let tally = &run.tallies[0];
            let kept = tally.used() >= used && tally.rejected_share() <= rejected;
            assert!(kept, "{self}\n{}", tally.story());
        }
        self
    }

    /// Asserts that the pace follows the limit within a tenth, in the time given for it.
    pub(crate) fn assert_follows(&self) {
        for run in &self.runs {
            let tally = &run.tallies[0];
            for step in &self.steps {
                let pace = tally.pace(*step as usize + self.follows);
                let close = (pace - 1.0).abs() <= 0.1;
                assert!(close, "{self}: {pace} after {step} s\n{}", tally.story());
            }
        }
    }

    /// Asserts, on average, at most 2 points less than `used`, and at most twice `rejected` 429s, or 10.
    pub(crate) fn assert_beside(&self, used: f64, rejected: f64) {
        let [least, most] = [used - 2.0, (2.0 * rejected).max(10.0)];
        let kept = self.used().mean >= least && self.rejected().mean <= most;
        assert!(
            kept,
            "{self}\nto be {least} % used with {most} 429s\n{}",
            self.runs[0].tallies[0].story()
        );
    }

    /// For each step, the pace when it should follow, and the number of seconds until it first does.
    fn pace_after_steps(&self) -> String {
        let mut line = String::new();
        for step in &self.steps {
            let step = *step as usize;
            let pace = self.spread(|tally| tally.pace(step + self.follows));
            let settled = |tally: &Tally| tally.settled(step).map_or(f64::INFINITY, |s| s as f64);
            let settled = self.spread(settled);
            let _ = write!(
                line,
                "  {:.2}..{:.2} in {:.0}..{:.0} s",
                pace.least, pace.most, settled.least, settled.most
            );
        }
        line
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [used, share, rejected] = [self.used(), self.rejected_share(), self.rejected()];
        let lost: u32 = self.runs.iter().map(|run| run.lost).sum();
        write!(
            f,
            "{:<44} {:>5.1} ({:.1}..{:.1}) %  429s {:>5.0} ({:.2}..{:.2} %)",
            self.name, used.mean, used.least, used.most, rejected.mean, share.least, share.most
        )?;
        if lost > 0 {
            write!(f, "  lost {lost}")?;
        }
        f.write_str(&self.pace_after_steps())
    }
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let figures: Vec<_> = figures.collect();
        Self {
            least: figures.iter().copied().fold(f64::INFINITY, f64::min),
            mean: figures.iter().sum::<f64>() / figures.len() as f64,
            most: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { least, mean, most } = self;
        write!(f, "{mean:.2} ({least:.2}..{most:.2})")
    }
}
