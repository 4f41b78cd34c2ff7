/// When the next is due, of requests that leave evenly spaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    pub(super) due: u64,
    /// When the last one left.
    pub(super) left: u64,
}

impl Pace {
    /// One leaves that could have left since `ready`, and puts the next `apart` from it.
    ///
    /// How late it is, up to `lateness`, is made up for. So is what those before it were late and
    /// nobody has made up for yet: of requests that leave faster than a timer fires there are several.
    /// A quiet time is nobody's lateness.
    pub(super) fn leave(&mut self, apart: u64, lateness: u64, ready: u64, now: u64) {
        let behind = self.left.saturating_sub(self.due);
        let fresh = now.saturating_sub(self.left) <= lateness;
        let late = now.saturating_sub(ready) + if fresh { behind } else { 0 };
        let on_time = now.saturating_sub(late.min(lateness));
        self.due = self.due.max(on_time).saturating_add(apart);
        self.left = self.left.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Ten thousand a second, by a timer of a millisecond: whoever came right after another had left
    /// late was not late itself, and half of the quota was lost.
    #[test]
    fn faster_than_the_timer_several_leave_together() {
        let (mut pace, mut left) = (Pace::default(), 0);
        for now in (0..1_000 * MS).step_by(MS as usize) {
            // The first has waited; the others come one by one, as soon as the one before has left.
            let mut ready = pace.due;
            while pace.due <= now {
                pace.leave(MS / 10, 50 * MS, ready, now);
                left += 1;
                ready = now;
            }
        }
        assert!((9_980..=10_000).contains(&left), "{left}");
    }

    #[test]
    fn a_quiet_time_is_nobody_s_lateness() {
        let mut pace = Pace::default();
        pace.leave(MS, 50 * MS, 0, 40 * MS);
        assert_eq!(pace.due, MS);
        pace.leave(MS, 50 * MS, 200 * MS, 200 * MS);
        assert_eq!(pace.due, 201 * MS);
    }
}
