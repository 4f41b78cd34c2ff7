use std::{collections::VecDeque, fmt, sync::Mutex, time::Duration};

use tokio::time::Instant;

/// Bounds retries in proportion to first attempts, so that a failing server is not sent several times its usual
/// load.
///
/// In the minute that ends with any retry, the retries are at most `ratio` of that minute's first attempts, plus
/// `per_minute` retries for each caller or key. For all callers and keys together, the addition is twice
/// `per_minute`, so that one request that always fails does not block the retries of the others. A first
/// attempt counts for 59 to 60 s. The given ratio is kept exactly. A 429 over a rate limit layer costs no budget,
/// since its lane paces the retry.
///
/// Each [`Caller`](crate::extension::Caller) and key has its own share. The key is the request's
/// [`ApiKey`](crate::extension::ApiKey), or else its `authorization`. A request that an SDK retries itself
/// (`x-stainless-retry-count` above 0) does not count as a first attempt.
///
/// The default ratio is a fifth, as in Finagle and `reqwest::retry`. The default of ten retries a minute lets
/// a client that sends little retry too.
///
/// ```
/// use tower_together::{TogetherRetryLayer, retry::Budget};
///
/// let layer = TogetherRetryLayer::default().with_budget(Budget::new(0.1, 30));
/// let boundless = TogetherRetryLayer::default().with_budget(Budget::unlimited());
/// ```
pub struct Budget {
    /// `None`: unlimited.
    ratio: Option<f64>,
    per_minute: u32,
    minute: Mutex<Minute>,
}

/// The attempts of the last minute.
struct Minute {
    origin: Option<Instant>,
    /// The latest second recorded in `firsts`, counted from `origin`.
    second: u64,
    /// First attempts, by second.
    firsts: [u64; SECONDS],
    first: u64,
    retries: VecDeque<Retry>,
}

/// A retry charged to the budget.
#[derive(PartialEq)]
struct Retry {
    at: Instant,
    /// The share that it is charged to.
    share: u64,
}

impl Budget {
    /// Allows `ratio` of a minute's first attempts, and `per_minute` retries for each caller or key in addition.
    ///
    /// # Panics
    ///
    /// If `ratio` is negative or not a number.
    pub fn new(ratio: f64, per_minute: u32) -> Self {
        assert!(
            ratio >= 0.0 && ratio.is_finite(),
            "a budget is a ratio of the first attempts: write 0.2 for one retry in five, or \
             Budget::unlimited()"
        );
        Self::of(Some(ratio), per_minute)
    }

    /// Sets no bound beyond each request's own.
    pub fn unlimited() -> Self {
        Self::of(None, 0)
    }

    /// Records a first attempt.
    pub(super) fn deposit(&self, now: Instant) {
        if self.ratio.is_some() {
            self.with(|minute| minute.deposit(now));
        }
    }

    /// Charges a retry, if it fits the budget and its `share`. Returns whether it did.
    pub(super) fn withdraw(&self, share: u64, now: Instant) -> bool {
        let Some(ratio) = self.ratio else { return true };
        self.with(|minute| {
            minute.forget(now);
            // 0.29 * 100 is 28.999999999999996.
            let earned = (minute.first as f64 * ratio + ROUNDING) as u64;
            let each = earned.saturating_add(self.per_minute.into());
            let all = each.saturating_add(self.per_minute.into());
            let shared = minute.retries.iter().filter(|retry| retry.share == share);
            let fits = (minute.retries.len() as u64) < all && (shared.count() as u64) < each;
            if fits {
                minute.retries.push_back(Retry { at: now, share });
            }
            fits
        })
    }

    /// Refunds a retry that was charged to `share` at this instant and not made.
    pub(super) fn refund(&self, share: u64, now: Instant) {
        if self.ratio.is_some() {
            self.with(|minute| {
                let unused = Retry { at: now, share };
                let taken = minute.retries.iter().rposition(|retry| *retry == unused);
                taken.map(|taken| minute.retries.remove(taken));
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
                firsts: [0; SECONDS],
                first: 0,
                retries: VecDeque::new(),
            }),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Minute) -> T) -> T {
        // A panic under this lock leaves no update half done.
        let minute = self.minute.lock();
        act(&mut minute.unwrap_or_else(|error| error.into_inner()))
    }
}

impl Minute {
    fn deposit(&mut self, now: Instant) {
        let place = self.turn_to(now);
        self.firsts[place] += 1;
        self.first += 1;
    }

    /// Drops records older than a minute.
    fn forget(&mut self, now: Instant) {
        self.turn_to(now);
        let is_old = |retry: &Retry| now.saturating_duration_since(retry.at) >= MINUTE;
        while self.retries.front().is_some_and(is_old) {
            self.retries.pop_front();
        }
    }

    /// Drops first attempts older than a minute, and returns the index of the current second.
    fn turn_to(&mut self, now: Instant) -> usize {
        let origin = *self.origin.get_or_insert(now);
        let second = now.saturating_duration_since(origin).as_secs();
        // Readings of several threads may arrive out of order: a late one counts as the current second.
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for ago in 0..passed {
            let place = ((second - ago) % SECONDS as u64) as usize;
            self.first -= std::mem::take(&mut self.firsts[place]);
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

const MINUTE: Duration = Duration::from_secs(60);
const SECONDS: usize = 60;
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn start() -> Instant {
        crate::clock::now()
    }

    fn withdraw_all(budget: &Budget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.withdraw(0, now))
            .take(10_000)
            .take_while(|fits| *fits)
            .count()
    }

    /// tower 0.5 rounds 0.3 to 0.33 and 0.6 to 1 (github.com/tower-rs/tower/issues/857).
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
        for seconds in 1..=59 {
            assert!(!budget.withdraw(0, now + Duration::from_secs(seconds)));
        }
        assert_eq!(withdraw_all(&budget, now + Duration::from_secs(60)), 10);
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
        // A clock reading that arrives out of order.
        budget.deposit(now);
        assert_eq!(withdraw_all(&budget, now), 0);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(0.0, 1);
        let now = start();
        assert!(budget.withdraw(0, now) && !budget.withdraw(0, now));
        budget.refund(0, now);
        assert!(budget.withdraw(0, now) && !budget.withdraw(0, now));
        let none = Budget::unlimited();
        none.refund(0, now);
        assert_eq!(withdraw_all(&none, now), 10_000);
    }

    #[test]
    fn a_refund_gives_back_one_retry_and_no_more_than_was_taken() {
        let budget = Budget::new(0.0, 2);
        let now = start();
        budget.refund(0, now);
        assert!(budget.withdraw(0, now));
        budget.refund(0, now);
        budget.refund(0, now);
        assert_eq!(withdraw_all(&budget, now), 2);
        budget.refund(0, now);
        assert_eq!(withdraw_all(&budget, now), 1);
        budget.refund(0, now + Duration::from_secs(1));
        assert!(!budget.withdraw(0, now + Duration::from_secs(1)));
        // Retries expire once, a minute after they are made.
        let later = now + Duration::from_secs(61);
        assert_eq!(withdraw_all(&budget, later), 2);
    }

    /// `busy`: the budget is also used in between.
    #[test]
    fn first_attempts_and_retries_each_expire_after_a_minute() {
        let now = start();
        let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
        for (at, first, retries) in [
            (46.0, 6, 0),
            (59.9, 6, 0),
            (60.0, 3, 3),
            (89.9, 3, 3),
            (90.0, 1, 3),
            (90.3, 1, 5),
            (105.9, 1, 5),
            (106.0, 0, 6),
            (3_600.0, 0, 6),
        ] {
            for busy in [false, true] {
                let (deposits, reserve) = (Budget::new(1.0, 0), Budget::new(0.0, 6));
                for (second, count) in [(0.0, 3), (30.3, 2), (46.0, 1)] {
                    for _ in 0..count {
                        deposits.deposit(after(second));
                        assert!(reserve.withdraw(0, after(second)));
                    }
                }
                let seconds = if busy { 47..at as u32 } else { 0..0 };
                for second in seconds {
                    deposits.refund(0, after(second.into()));
                    reserve.refund(0, after(f64::from(second) + 0.5));
                }
                assert_eq!(withdraw_all(&deposits, after(at)), first, "{at} {busy}");
                assert_eq!(withdraw_all(&reserve, after(at)), retries, "{at} {busy}");
            }
        }
    }

    /// Regression: the window was 61 s, and 230 retries were made where 30 were allowed.
    #[test]
    fn what_was_sent_a_minute_ago_allows_no_retry() {
        for (second, retries) in [(0.0, 230), (59.9, 230), (60.0, 30), (60.9, 30)] {
            let budget = Budget::new(1.0, 30);
            let now = start();
            for _ in 0..200 {
                budget.deposit(now);
            }
            let later = now + Duration::from_secs_f64(second);
            assert_eq!(withdraw_all(&budget, later), retries, "{second}");
        }
    }

    #[test]
    fn a_retry_counts_for_exactly_a_minute() {
        let budget = Budget::new(0.0, 2);
        let now = start();
        let after = |millis| now + Duration::from_millis(millis);
        assert!(budget.withdraw(0, after(0)) && budget.withdraw(0, after(900)));
        assert!(!budget.withdraw(0, after(59_999)));
        assert!(budget.withdraw(0, after(60_000)));
        assert!(!budget.withdraw(0, after(60_899)));
        assert!(budget.withdraw(0, after(60_900)));
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
