use std::{fmt, sync::Mutex};

use tokio::time::Instant;

/// How many retries there may be for each first attempt, so that a server in trouble is not sent
/// several times what brought it there.
///
/// In any minute: `per_minute`, and `ratio` of the first attempts of that minute. The ratio that is
/// given is the one that is kept, whatever it is. A request that waits in its paused lane needs none
/// of it, for the limiter paces that.
///
/// The default is a fifth, as of Finagle and of `reqwest::retry`, and ten a minute, so that a client
/// that sends little can retry too.
///
/// ```
/// use tower_together::{TogetherRetryLayer, retry::Budget};
///
/// let layer = TogetherRetryLayer::default().with_budget(Budget::new(0.1, 30));
/// let boundless = TogetherRetryLayer::default().with_budget(Budget::unlimited());
/// ```
pub struct Budget {
    /// `None`: no bound.
    ratio: Option<f64>,
    per_minute: u32,
    minute: Mutex<Minute>,
}

/// The last minute, second by second.
struct Minute {
    origin: Option<Instant>,
    /// The second of `slots` in use last.
    second: u64,
    slots: [Slot; SECONDS],
    first: u64,
    retries: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    first: u64,
    retries: u64,
}

impl Budget {
    /// `ratio` of the first attempts of a minute, and `per_minute` besides.
    ///
    /// # Panics
    ///
    /// If `ratio` is negative or no number.
    pub fn new(ratio: f64, per_minute: u32) -> Self {
        assert!(
            ratio >= 0.0 && ratio.is_finite(),
            "a budget is a share of the first attempts: write 0.2 for one retry in five, or \
             Budget::unlimited()"
        );
        Self::of(Some(ratio), per_minute)
    }

    /// No bound but each request's own.
    pub fn unlimited() -> Self {
        Self::of(None, 0)
    }

    /// A request is sent for the first time.
    pub(super) fn deposit(&self, now: Instant) {
        if self.ratio.is_some() {
            self.with(now, |slot, minute| {
                slot.first += 1;
                minute.first += 1;
            });
        }
    }

    /// Whether one more retry fits; it is taken then.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        let Some(ratio) = self.ratio else { return true };
        self.with(now, |slot, minute| {
            // 0.29 * 100 is 28.999999999999996.
            let allowed = (minute.first as f64 * ratio + ROUNDING) as u64;
            let fits = minute.retries < allowed.saturating_add(self.per_minute.into());
            slot.retries += u64::from(fits);
            minute.retries += u64::from(fits);
            fits
        })
    }

    /// Gives back what was taken this instant, and not used.
    pub(super) fn refund(&self, now: Instant) {
        if self.ratio.is_some() {
            self.with(now, |slot, minute| {
                let taken = u64::from(slot.retries > 0);
                slot.retries -= taken;
                minute.retries -= taken;
            });
        }
    }

    fn of(ratio: Option<f64>, per_minute: u32) -> Self {
        Self {
            ratio,
            per_minute,
            minute: Mutex::new(Minute {
                origin: None,
                second: 0,
                slots: [Slot::default(); SECONDS],
                first: 0,
                retries: 0,
            }),
        }
    }

    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Slot, &mut Minute) -> T) -> T {
        // Nothing is left half done under this lock.
        let mut minute = self
            .minute
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        let place = minute.turn_to(now);
        let mut slot = minute.slots[place];
        let result = act(&mut slot, &mut minute);
        minute.slots[place] = slot;
        result
    }
}

impl Minute {
    /// Forgets what is older than a minute, and returns the place of this second.
    fn turn_to(&mut self, now: Instant) -> usize {
        let origin = *self.origin.get_or_insert(now);
        let second = now.saturating_duration_since(origin).as_secs();
        // Clocks of several threads may come out of order: what is late counts as now.
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for ago in 0..passed {
            let slot = &mut self.slots[((second - ago) % SECONDS as u64) as usize];
            let Slot { first, retries } = std::mem::take(slot);
            self.first -= first;
            self.retries -= retries;
        }
        self.second = self.second.max(second);
        (self.second % SECONDS as u64) as usize
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(0.2, 10)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Budget");
        match self.ratio {
            Some(ratio) => out
                .field("ratio", &ratio)
                .field("per_minute", &self.per_minute)
                .finish(),
            None => out.field("unlimited", &true).finish(),
        }
    }
}

/// A minute, and the second that has begun.
const SECONDS: usize = 61;
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn start() -> Instant {
        crate::clock::now()
    }

    fn withdraw_all(budget: &Budget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.withdraw(now))
            .take(10_000)
            .take_while(|fits| *fits)
            .count()
    }

    /// tower 0.5's rounds 0.3 to 0.33 and 0.6 to 1 (github.com/tower-rs/tower/issues/857).
    #[test]
    fn the_ratio_given_is_the_ratio_kept() {
        for percent in 0..=200 {
            let budget = Budget::new(f64::from(percent) / 100.0, 0);
            let now = start();
            for _ in 0..1_000 {
                budget.deposit(now);
            }
            assert_eq!(withdraw_all(&budget, now), percent as usize * 10);
        }
    }

    #[test]
    fn a_quiet_client_has_ten_a_minute_and_no_more() {
        let budget = Budget::default();
        let now = start();
        assert_eq!(withdraw_all(&budget, now), 10);
        for seconds in 1..=60 {
            assert!(!budget.withdraw(now + Duration::from_secs(seconds)));
        }
        assert_eq!(withdraw_all(&budget, now + Duration::from_secs(61)), 10);
        assert_eq!(withdraw_all(&budget, now + Duration::from_secs(3_600)), 10);
    }

    #[test]
    fn what_was_saved_up_long_ago_is_gone() {
        let budget = Budget::new(0.5, 0);
        let now = start();
        for _ in 0..100 {
            budget.deposit(now);
        }
        let later = now + Duration::from_secs(61);
        for _ in 0..10 {
            budget.deposit(later);
        }
        assert_eq!(withdraw_all(&budget, later), 5);
        // A clock that was read before another and comes after it.
        budget.deposit(now);
        assert_eq!(withdraw_all(&budget, now), 0);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(0.0, 1);
        let now = start();
        assert!(budget.withdraw(now) && !budget.withdraw(now));
        budget.refund(now);
        assert!(budget.withdraw(now) && !budget.withdraw(now));
        let none = Budget::unlimited();
        none.refund(now);
        assert_eq!(withdraw_all(&none, now), 10_000);
    }

    #[test]
    fn a_refund_gives_back_one_retry_and_no_more_than_was_taken() {
        let budget = Budget::new(0.0, 2);
        let now = start();
        budget.refund(now);
        assert!(budget.withdraw(now));
        budget.refund(now);
        budget.refund(now);
        assert_eq!(withdraw_all(&budget, now), 2);
        budget.refund(now);
        assert_eq!(withdraw_all(&budget, now), 1);
        budget.refund(now + Duration::from_secs(1));
        assert!(!budget.withdraw(now + Duration::from_secs(1)));
        // Retries expire once, a minute later.
        let later = now + Duration::from_secs(61);
        assert_eq!(withdraw_all(&budget, later), 2);
    }

    /// `busy`: the budget is used in between.
    #[test]
    fn first_attempts_and_retries_each_expire_after_a_minute() {
        let now = start();
        let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
        for (at, first, retries) in [
            (46.0, 6, 0),
            (60.9, 6, 0),
            (61.0, 3, 3),
            (90.9, 3, 3),
            (91.0, 1, 5),
            (106.9, 1, 5),
            (107.0, 0, 6),
            (3_600.0, 0, 6),
        ] {
            for busy in [false, true] {
                let (deposits, reserve) = (Budget::new(1.0, 0), Budget::new(0.0, 6));
                for (second, count) in [(0.0, 3), (30.3, 2), (46.0, 1)] {
                    for _ in 0..count {
                        deposits.deposit(after(second));
                        assert!(reserve.withdraw(after(second)));
                    }
                }
                let seconds = if busy { 47..at as u32 } else { 0..0 };
                for second in seconds {
                    deposits.refund(after(second.into()));
                    reserve.refund(after(f64::from(second) + 0.5));
                }
                assert_eq!(withdraw_all(&deposits, after(at)), first, "{at} {busy}");
                assert_eq!(withdraw_all(&reserve, after(at)), retries, "{at} {busy}");
            }
        }
    }

    #[test]
    fn a_clock_reading_that_comes_late_counts_as_the_latest_one() {
        let budget = Budget::new(1.0, 0);
        let now = start();
        let after = |seconds| now + Duration::from_secs(seconds);
        for at in [now, after(50), now] {
            budget.deposit(at);
        }
        assert_eq!(withdraw_all(&budget, after(61)), 2);
    }

    #[test]
    #[should_panic(expected = "write 0.2 for one retry in five")]
    fn what_is_no_share_is_refused_in_words() {
        let _ = Budget::new(f64::NAN, 1);
    }
}
