//! Performs one step after another on a limiter, and checks every limit before and after each.

use std::{collections::VecDeque, task::Poll, time::Duration};

use proptest::{prelude::*, sample::Index};
use testing::{
    now,
    table::{Cap, Lane, Line, Table},
    virtual_time,
};
use tokio_test::task::{self, Spawn};
use tower_together::{
    Limiter,
    limiter::{Acquire, LaneSnapshot, Permit, Reason},
};

use crate::{
    play::{Event, Handling, ServerResponse, Story, Visit, call},
    tables::{MODELS, lanes},
};

/// One step performed on a limiter.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Time passes, in nanoseconds.
    Pass(u64),
    Try(Lane, u64),
    /// A request arrives, and waits if it has to.
    Wait(Lane, u64),
    /// Polls a waiting request.
    Poll(Index),
    /// Drops a waiting request.
    Leave(Index),
    /// Ends the response of a request that left.
    End(Index),
    /// Settles the cost of a request that left.
    Settle(Index, u64),
}

impl Deed {
    /// The same step, with every request in one lane.
    pub(crate) fn in_lane(self, lane: Lane) -> Self {
        match self {
            Self::Try(_, tokens) => Self::Try(lane, tokens),
            Self::Wait(_, tokens) => Self::Wait(lane, tokens),
            other => other,
        }
    }
}

pub(crate) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => (1..500_000_000u64).prop_map(Deed::Pass),
        2 => (lanes(), 0..60u64).prop_map(|(lane, tokens)| Deed::Try(lane, tokens)),
        4 => (lanes(), 0..60u64).prop_map(|(lane, tokens)| Deed::Wait(lane, tokens)),
        4 => any::<Index>().prop_map(Deed::Poll),
        1 => any::<Index>().prop_map(Deed::Leave),
        2 => any::<Index>().prop_map(Deed::End),
        1 => (any::<Index>(), 0..80u64).prop_map(|(index, tokens)| Deed::Settle(index, tokens)),
    ];
    prop::collection::vec(deed, 1..80)
}

/// Performs all steps, and asserts after each that the requests that left are counted in every limit that applies to
/// them, and that nothing else changed.
pub(crate) fn assert_all_or_nothing(table: &Table, deeds: &[Deed]) {
    virtual_time().block_on(async {
        let mut desk = Desk::new(table);
        for deed in deeds {
            if let Deed::Pass(nanos) = deed {
                tokio::time::advance(Duration::from_nanos(*nanos)).await;
                continue;
            }
            let mut before = desk.look();
            let charged = desk.act(deed);
            if let Deed::Settle(..) = deed {
                // A settlement is no request: it changes the debt of paced quotas, within bounds.
                for (left, line) in before.iter_mut().zip(&table.lines) {
                    left.take_if(|_| matches!(line.cap, Cap::Tokens(_)));
                }
            }
            desk.assert_charged(&before, charged);
        }
    });
}

/// Performs all steps, and asserts after each that a request that can leave has been woken.
pub(crate) fn assert_at_once(table: &Table, deeds: &[Deed]) {
    virtual_time().block_on(async {
        let mut desk = Desk::new(table);
        for deed in deeds {
            if let Deed::Pass(nanos) = deed {
                tokio::time::advance(Duration::from_nanos(*nanos)).await;
            }
            desk.act(deed);
            if desk.somebody_is_forgotten() {
                // Unless it is the timer, which counts in milliseconds.
                tokio::time::sleep(Duration::from_millis(2)).await;
                assert!(!desk.somebody_is_forgotten(), "after {deed:?}");
            }
        }
    });
}

/// Asks for each request again at the very instant that the limiter named, as early as possible.
///
/// # Panics
///
/// If it may not leave at that instant.
pub(crate) fn ask_as_told(table: &Table, visits: &[Visit]) -> Story {
    virtual_time().block_on(async {
        let limiter = Limiter::new(table.limits());
        let start = now();
        let mut story = Story::new();
        let mut under_way: VecDeque<(usize, Permit)> = VecDeque::new();
        for (n, visit) in visits.iter().enumerate() {
            let mut told = false;
            story.push((now() - start, Event::Came(n)));
            loop {
                let rejected = match limiter.try_acquire(call(visit)) {
                    Ok(permit) => {
                        story.push((now() - start, Event::Left(n)));
                        under_way.push_back((n, permit));
                        break;
                    }
                    Err(rejected) => rejected,
                };
                if rejected.reason() == Reason::NeverFits {
                    break;
                }
                assert_eq!(rejected.reason(), Reason::WouldWait);
                if let Some(wait) = rejected.retry_after() {
                    assert!(!told, "{n} is told twice to wait, now for {wait:?}");
                    assert!(wait > Duration::ZERO);
                    tokio::time::advance(wait).await;
                    told = true;
                } else {
                    let (n, _permit) = under_way.pop_front().expect("a slot is taken");
                    story.push((now() - start, Event::Ended(n)));
                }
            }
            // A quiet time now and then.
            if visit.takes < 100 {
                tokio::time::advance(Duration::from_micros(visit.takes * 49_999)).await;
            }
        }
        story
    })
}

struct Desk<'a> {
    table: &'a Table,
    limiter: Limiter,
    /// The requests that left: when, their lane, and their tokens.
    left: Vec<(tokio::time::Instant, Lane, u64)>,
    /// Permits in flight, each with its index in `left`.
    under_way: Vec<(usize, Permit)>,
    queued: Vec<(Lane, u64, Spawn<Acquire>)>,
}

/// The amount left of each line that some lane uses, by the line's index in the table.
type Left = Vec<Option<u64>>;

impl<'a> Desk<'a> {
    fn new(table: &'a Table) -> Self {
        Self {
            table,
            limiter: Limiter::new(table.limits()),
            left: Vec::new(),
            under_way: Vec::new(),
            queued: Vec::new(),
        }
    }

    /// Performs a step. Returns the request that left.
    fn act(&mut self, deed: &Deed) -> Option<(Lane, u64)> {
        match deed {
            Deed::Pass(_) => None,
            Deed::Try(lane, tokens) => {
                let permit = self
                    .limiter
                    .try_acquire(call(&visit(*lane, *tokens)))
                    .ok()?;
                self.admit(*lane, *tokens, permit)
            }
            Deed::Wait(lane, tokens) => {
                let turn = self.limiter.acquire(call(&visit(*lane, *tokens)));
                self.queued.push((*lane, *tokens, task::spawn(turn)));
                self.poll(self.queued.len() - 1)
            }
            Deed::Poll(_) | Deed::Leave(_) if self.queued.is_empty() => None,
            Deed::Poll(index) => self.poll(index.index(self.queued.len())),
            Deed::Leave(index) => {
                drop(self.queued.remove(index.index(self.queued.len())));
                None
            }
            Deed::End(_) | Deed::Settle(..) if self.under_way.is_empty() => None,
            Deed::Settle(index, tokens) => {
                let under_way = self.under_way.len();
                let (left, permit) = &mut self.under_way[index.index(under_way)];
                permit.settle(*tokens);
                self.left[*left].2 = *tokens;
                None
            }
            Deed::End(index) => {
                // Its slot is given back, which is checked by counting the permits in flight.
                drop(self.under_way.remove(index.index(self.under_way.len())));
                None
            }
        }
    }

    fn poll(&mut self, index: usize) -> Option<(Lane, u64)> {
        let (lane, tokens, turn) = &mut self.queued[index];
        let (lane, tokens) = (*lane, *tokens);
        match turn.poll() {
            Poll::Pending => None,
            Poll::Ready(result) => {
                drop(self.queued.remove(index));
                self.admit(lane, tokens, result.ok()?)
            }
        }
    }

    fn admit(&mut self, lane: Lane, tokens: u64, permit: Permit) -> Option<(Lane, u64)> {
        self.under_way.push((self.left.len(), permit));
        self.left.push((now(), lane, tokens));
        Some((lane, tokens))
    }

    fn look(&self) -> Left {
        let mut left = vec![None; self.table.lines.len()];
        for lane in self.limiter.snapshot().lanes {
            let lines = self.table.of(lane_of(&lane));
            assert_eq!(lines.len(), lane.limits.len(), "{lane:?}");
            for (line, limit) in lines.into_iter().zip(&lane.limits) {
                let place = self.place(line);
                assert!(
                    left[place].is_none_or(|left| left == limit.left),
                    "{lane:?}"
                );
                left[place] = Some(limit.left);
            }
        }
        left
    }

    fn assert_charged(&self, before: &Left, charged: Option<(Lane, u64)>) {
        let after = self.look();
        let under = charged
            .map(|(lane, _)| self.table.of(lane))
            .unwrap_or_default();
        let permit = charged.and(self.under_way.last());
        let waited = permit.is_some_and(|(_, permit)| permit.waited() > Duration::ZERO);
        for (place, line) in self.table.lines.iter().enumerate() {
            let Some(left) = after[place] else { continue };
            if let Some(expected) = self.counted(line) {
                assert_eq!(left, expected, "{line:?} after {charged:?}");
            } else if let Some(before) = before[place] {
                let cost = match charged {
                    Some((_, tokens)) if under.contains(&line) => line.cap.cost(tokens),
                    _ => 0,
                };
                let expected = before.saturating_sub(cost);
                // A request that waited may have left late, and counts as if it had been in time.
                let made_up = if waited { line.cap.made_up() } else { 0 };
                assert!(
                    (expected..=expected + made_up).contains(&left),
                    "{left}, not {expected} and at most {made_up}: {line:?} after {charged:?}"
                );
            }
        }
        let snapshot = self.limiter.snapshot();
        assert_eq!(snapshot.admitted, self.left.len() as u64);
        assert_eq!(snapshot.waiting, self.queued.len());
    }

    /// Whether a waiting request could leave, whichever is first, and none was woken. For requests of one lane only.
    fn somebody_is_forgotten(&self) -> bool {
        let snapshot = self.limiter.snapshot();
        let Some(lane) = snapshot.lanes.iter().find(|lane| lane.waiting > 0) else {
            return false;
        };
        let lines = self.table.of(lane_of(lane));
        let could_go = |tokens: u64| {
            let mut lines = lines.iter().zip(&lane.limits);
            lines.all(|(line, limit)| match line.cap {
                Cap::Tokens(_) if tokens == 0 => true,
                Cap::Tokens(quota) if quota == quota.unpaced() => limit.left >= tokens,
                _ => limit.left > 0,
            })
        };
        let mut queued = self.queued.iter();
        queued.all(|(_, tokens, turn)| could_go(*tokens) && !turn.is_woken())
    }

    /// The amount that must be left of a line, counted naively; `None` for paced quotas.
    fn counted(&self, line: &Line) -> Option<u64> {
        let under = |lane: &Lane| self.table.of(*lane).contains(&line);
        match line.cap {
            Cap::InFlight(max) => {
                let taken = self.under_way.iter();
                let taken = taken.filter(|(left, _)| under(&self.left[*left].1)).count();
                Some(u64::from(max) - taken as u64)
            }
            Cap::Requests(quota) | Cap::Tokens(quota) if quota == quota.unpaced() => {
                let window = quota.per() + quota.margin();
                let recent = self.left.iter().filter(|(at, ..)| now() - *at < window);
                let used = recent.filter(|(_, lane, _)| under(lane));
                let used: u64 = used.map(|(.., tokens)| line.cap.cost(*tokens)).sum();
                Some(quota.max().saturating_sub(used))
            }
            Cap::Requests(_) | Cap::Tokens(_) => None,
        }
    }

    fn place(&self, line: &Line) -> usize {
        let mut lines = self.table.lines.iter();
        lines
            .position(|other| other == line)
            .expect("of this table")
    }
}

fn lane_of(lane: &LaneSnapshot) -> Lane {
    let model = lane.model.as_deref().map(|model| {
        let known = MODELS.into_iter().flatten();
        known
            .into_iter()
            .find(|known| *known == model)
            .expect("one of these")
    });
    (lane.endpoint, model)
}

/// A request that arrives at once and is awaited.
pub(crate) fn visit(lane: Lane, tokens: u64) -> Visit {
    Visit {
        at: 0,
        lane,
        caller: "a",
        tokens,
        again: false,
        deadline: None,
        fate: Handling::Awaited,
        takes: 0,
        response: ServerResponse::Fine,
    }
}
