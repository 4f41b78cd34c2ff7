//! One limit: how many requests, in what time, counted by which rule.

use std::time::Duration;

use crate::{
    course::{Course, Dynamic, Plan},
    pace::{Pace, Rule},
};

/// A number of requests, or tokens, in a time, counted by one of five rules.
///
/// A server can count "300 a minute" in several ways, and a client that keeps one of them may
/// break another. So all the usual ones are here.
///
/// A request that costs more than a limit holds at once, as a long prompt may, passes while the
/// quota is unused. Later requests wait until its cost is made up for.
///
/// # Limits that move
///
/// A limit has one number, or several, one [then](Self::then) the other; the last one holds, or all
/// of them come [again](Self::repeating). All callers see the same number at the same time.
/// A change keeps the quota used so far, and the contents of a bucket up to the new burst.
///
/// ```
/// # use {std::time::Duration, together_standin::Limit};
/// let [second, minute] = [1, 60].map(Duration::from_secs);
/// let falls_then_rises = Limit::gcra(300, minute, 5)
///     .then(60 * second, 150)
///     .then(120 * second, 600);
/// let back_and_forth = Limit::sliding(600, minute)
///     .then(60 * second, 300)
///     .repeating(120 * second);
/// // The rule that Together published in early 2026.
/// let earned = Limit::dynamic(60, 1_200);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At first.
    pace: Pace,
    pub(crate) course: Course,
}

impl Limit {
    /// Windows of length `per`, one after the other from the server's start, each of `max`
    /// requests.
    ///
    /// # Panics
    /// If `max` is 0 or `per` is below a microsecond.
    pub fn fixed(max: u32, per: Duration) -> Self {
        Self::new(Rule::Fixed { phase: 0 }, max, per)
    }

    /// At most `max` accepted requests in any stretch of time of length `per`.
    ///
    /// # Panics
    /// If `max` is 0 or `per` is below a microsecond.
    pub fn sliding(max: u32, per: Duration) -> Self {
        Self::new(Rule::Sliding, max, per)
    }

    /// A bucket of `burst` requests that refills evenly at `max` per `per`; full at the start.
    ///
    /// # Panics
    /// If `max` or `burst` is 0 or `per` is below a microsecond.
    pub fn gcra(max: u32, per: Duration, burst: u32) -> Self {
        assert!(
            burst > 0,
            "a burst of 0 lets nothing through: write 1 or more"
        );
        Self::new(Rule::Gcra { burst }, max, per)
    }

    /// Fixed windows of one second, each of a sixtieth of `max_per_minute`, rounded down.
    ///
    /// Below 60 a minute it is windows of one request, so much longer than a second.
    ///
    /// # Panics
    /// If `max_per_minute` is 0.
    pub fn per_second(max_per_minute: u32) -> Self {
        match max_per_minute {
            1..60 => Self::fixed(1, MINUTE / max_per_minute),
            _ => Self::fixed(max_per_minute / 60, Duration::from_secs(1)),
        }
    }

    /// Twice the rate of the caller's accepted requests in the past hour, but at least `floor` and
    /// at most `cap` a minute: a bucket of one second's worth that refills evenly. For requests
    /// only.
    ///
    /// It is what Together's documents said in early 2026 of each user and model, with a floor
    /// of 60.
    ///
    /// # Panics
    /// If `floor` is 0 or above `cap`.
    pub fn dynamic(floor: u32, cap: u32) -> Self {
        assert!(
            (1..=cap).contains(&floor),
            "a dynamic limit lies between its floor, 1 or more, and its cap"
        );
        let dynamic = Dynamic { floor, cap };
        Self {
            pace: dynamic.pace(0),
            course: Course::Dynamic(dynamic),
        }
    }

    /// Begins the windows of a [`fixed`](Self::fixed) or [`per_second`](Self::per_second) limit
    /// this much after the server's start, so that a client's minute is not the server's.
    ///
    /// # Panics
    /// On other limits: they have no windows.
    pub fn phase(mut self, phase: Duration) -> Self {
        assert!(
            matches!(self.pace.rule, Rule::Fixed { .. }),
            "only a fixed window has a phase: use Limit::fixed or Limit::per_second"
        );
        let phase = phase.as_micros() % u128::from(self.pace.per);
        self.pace.rule = Rule::Fixed {
            phase: phase as u64,
        };
        self
    }

    /// This much after the server's start it becomes `max`, in the same time and by the same rule.
    /// The time of a [`per_second`](Self::per_second) limit is a second. A burst changes in
    /// proportion, rounded down, but to 1 at least.
    ///
    /// # Panics
    /// If `max` is 0, if `after` is not later than the step before, or if the limit repeats
    /// already or is dynamic.
    pub fn then(mut self, after: Duration, max: u32) -> Self {
        assert!(max > 0, "a limit of 0 rejects everything: write 1 or more");
        let fits = self.plan().push(micros(after), max);
        assert!(
            fits,
            "steps come one after the other, counted from the server's start, before repeating()"
        );
        self
    }

    /// Begins with the first number again after this time, and after each such time.
    ///
    /// # Panics
    /// If that is not later than the last step, or the limit is dynamic.
    pub fn repeating(mut self, every: Duration) -> Self {
        let fits = self.plan().repeat(micros(every));
        assert!(fits, "a plan repeats after its last step");
        self
    }

    fn plan(&mut self) -> &mut Plan {
        if self.course == Course::Steady {
            self.course = Course::Planned(Plan::default());
        }
        match &mut self.course {
            Course::Planned(plan) => plan,
            _ => panic!("a dynamic limit moves by itself: it has no steps"),
        }
    }

    /// GCRA with the burst of one second: "60 a minute" is measured as one a second.
    pub(crate) fn smooth(per_minute: u32) -> Self {
        Self::gcra(per_minute, MINUTE, (per_minute / 60).max(1))
    }

    fn new(rule: Rule, max: u32, per: Duration) -> Self {
        assert!(
            max > 0,
            "a limit of 0 rejects everything: write 1 or more, or no limit"
        );
        let per = micros(per);
        assert!(per > 0, "a limit needs a time of at least a microsecond");
        Self {
            pace: Pace { rule, max, per },
            course: Course::Steady,
        }
    }

    /// The pace at a time, and the end of that pace; `None` if it depends on the caller.
    pub(crate) fn planned(&self, now: u64) -> Option<(Pace, Option<u64>)> {
        match &self.course {
            Course::Steady => Some((self.pace, None)),
            Course::Planned(plan) => {
                let (max, until) = plan.at(self.pace.max, now);
                Some((self.pace.with_max(max), until))
            }
            Course::Dynamic(_) => None,
        }
    }

    /// The pace at the start.
    pub(crate) fn first(&self) -> Pace {
        self.pace
    }

    /// The largest number it ever has.
    pub(crate) fn most(&self) -> u32 {
        match &self.course {
            Course::Planned(plan) => plan.most().max(self.pace.max),
            _ => self.pace.max,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a limit's time fits 64 bits of µs")
}

const MINUTE: Duration = Duration::from_secs(60);
