//! Attempts at one body, side by side.

mod promises;

use std::{
    collections::VecDeque,
    fmt::Display,
    mem,
    sync::{Arc, Mutex, MutexGuard, Weak, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body;
use tower_together::body::{ReplayBuffer, RequestBody};

use crate::{
    attempt::{Attempt, Woken},
    source::{FAILED, Fails, Meanwhile, Script, Source, Tap},
    story::{Step, Story},
};

pub(crate) struct World<B: RequestBody> {
    script: Arc<Script>,
    tap: Arc<Tap>,
    memory: ReplayBuffer,
    each: u64,
    /// Whether an abandoned attempt can be told so.
    tells: bool,
    /// `None` inside: nothing was kept from the start.
    kept: Mutex<Option<B::Again>>,
    attempts: Mutex<Vec<Place<B>>>,
    meanwhile: Mutex<VecDeque<Vec<Step>>>,
}

enum Place<B> {
    Here(Box<Attempt<B>>),
    Polled,
    Dropped,
}

/// Plays a story, and asserts all promises.
pub(crate) fn play<B, E>(story: &Story, tells: bool, wrap: impl FnOnce(Source<E>) -> B)
where
    B: RequestBody<Again: Send> + Body<Data = Bytes, Error: Display> + Send + 'static,
    E: Fails,
{
    let mut script = story.script.clone();
    script.fails_at = script.fails_at.filter(|_| E::fail().is_some());
    let script = Arc::new(script);
    let tap = Arc::new(Tap::default());
    let memory = ReplayBuffer::new(story.each, story.each);
    let body = wrap(Source::new(&script, &tap));
    let (body, kept) = body.replayable(&memory);
    let world = Arc::new(World {
        script,
        memory,
        each: story.each as u64,
        tells,
        kept: Mutex::new(Some(kept)),
        attempts: Mutex::new(vec![Place::Here(Attempt::new(body))]),
        meanwhile: Mutex::default(),
        tap: Arc::clone(&tap),
    });
    tap.meanwhile(Arc::downgrade(&world) as Weak<dyn Meanwhile>);
    world.assert_all();
    for step in &story.steps {
        world.step(step);
    }
    world.finish();
    world.drop_all(&story.end);
}

impl<B> World<B>
where
    B: RequestBody + Body<Data = Bytes, Error: Display>,
{
    fn step(&self, step: &Step) {
        match step {
            Step::Poll(index) => self.poll(self.pick(index)),
            Step::Move(index) => {
                let place = self.pick(index);
                if let Place::Here(attempt) = &mut self.attempts()[place] {
                    attempt.woken = Woken::yes();
                }
                self.poll(place);
            }
            Step::Drop(index) => self.drop_one(self.pick(index)),
            Step::Again => self.again(),
            Step::LetGo => drop(self.kept.lock().unwrap().take()),
            Step::Open(more) => self.tap.open(*more),
            Step::Wake => self.tap.wake(),
            Step::Stall => self.tap.stall(),
            Step::Settle => self.settle(),
            Step::Meanwhile(steps) => self.meanwhile.lock().unwrap().push_back(steps.clone()),
        }
        self.assert_all();
    }

    fn poll(&self, place: usize) {
        let taken = {
            let place = &mut self.attempts()[place];
            match mem::replace(place, Place::Polled) {
                Place::Here(attempt) if !attempt.is_done => attempt,
                other => {
                    *place = other;
                    return;
                }
            }
        };
        let mut attempt = taken;
        let counts = || place + 1 == self.attempts().len();
        let counted = counts();
        attempt.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&attempt.woken));
        let polled = attempt
            .body
            .as_mut()
            .poll_frame(&mut Context::from_waker(&waker));
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                attempt.take(&frame, &self.script, place);
                // A reading attempt goes on reading.
                attempt.woken.0.store(true, Ordering::SeqCst);
            }
            Poll::Ready(None) => {
                assert_eq!(self.script.fails_at, None, "it failed, and says it ended");
                assert_eq!(attempt.next, self.script.items(), "{place} ended early");
                attempt.is_done = true;
            }
            Poll::Ready(Some(Err(error))) => {
                let its_own = error.to_string().contains(FAILED);
                if counts() || its_own {
                    assert!(its_own, "nothing was given up: {error}");
                    assert!(counted, "it is for the newest to hear of it");
                    assert_eq!(Some(attempt.next), self.script.fails_at);
                } else {
                    assert!(self.tells, "who made this error? {error}");
                }
                attempt.is_done = true;
            }
        }
        self.attempts()[place] = Place::Here(attempt);
    }

    fn again(&self) {
        let (script, tap) = (&self.script, &self.tap);
        let attempts = self.attempts();
        let is_live = !matches!(attempts.last(), Some(Place::Dropped));
        drop(attempts);
        let (hint, is_polled) = (script.hint(), tap.is_polled());
        let fits = |bytes: u64| bytes <= self.each;
        // If an attempt reads on, or is just reading, the record must have room for all that it may read.
        let needs_all = is_live && (!self.tells || is_polled);
        let surely_fits = hint.upper().is_some_and(fits);
        let possible = fits(hint.lower()) && !tap.has_failed() && fits(tap.passed());
        let sure = fits(script.data() + script.trailers_len()) && (!needs_all || surely_fits);

        let again = {
            let kept = self.kept.lock().unwrap();
            let Some(kept) = kept.as_ref() else { return };
            B::again(kept)
        };
        match again {
            None => assert!(!possible || !sure, "it could have been made again"),
            Some(body) => {
                assert!(possible, "of what?");
                assert!(!is_polled || surely_fits, "of what may not fit?");
                self.attempts().push(Place::Here(Attempt::new(body)));
                let recorded = tap.passed();
                assert!(self.used() >= recorded, "{recorded} bytes kept for nothing");
            }
        }
    }

    fn drop_one(&self, place: usize) {
        let taken = {
            let place = &mut self.attempts()[place];
            match mem::replace(place, Place::Dropped) {
                Place::Polled => {
                    *place = Place::Polled;
                    return;
                }
                taken => taken,
            }
        };
        drop(taken);
    }

    fn settle(&self) {
        let woken = |place: &Place<B>| match place {
            Place::Here(attempt) => !attempt.is_done && attempt.woken.0.load(Ordering::SeqCst),
            _ => false,
        };
        for _ in 0..MOST_POLLS {
            let place = self.attempts().iter().position(woken);
            let Some(place) = place else { return };
            self.poll(place);
            self.assert_all();
        }
        panic!("somebody is woken again and again, and there is nothing to be had");
    }

    /// Makes all frames readable, and wakes the waiting task.
    fn finish(&self) {
        self.meanwhile.lock().unwrap().clear();
        self.tap.open(usize::MAX);
        self.tap.wake();
        self.settle();
        self.assert_finished();
        self.step(&Step::Again);
        self.settle();
        self.assert_finished();
    }

    fn drop_all(&self, order: &[usize]) {
        for index in order {
            // One place more, which is the record.
            let places = self.attempts().len() + 1;
            match index % places {
                0 => self.step(&Step::LetGo),
                place => self.drop_one(place - 1),
            }
        }
        self.step(&Step::LetGo);
        let places = self.attempts().len();
        for place in 0..places {
            self.drop_one(place);
        }
        assert_eq!(self.used(), 0, "some of the memory is gone");
        assert!(self.tap.is_dropped(), "who has the source?");
    }

    /// The number of bytes that are reserved.
    fn used(&self) -> u64 {
        used(&self.memory)
    }

    fn pick(&self, index: &usize) -> usize {
        index % self.attempts().len()
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Place<B>>> {
        self.attempts.lock().unwrap()
    }
}

impl<B> Meanwhile for World<B>
where
    B: RequestBody<Again: Send> + Body<Data = Bytes, Error: Display> + Send,
{
    fn act(&self) {
        let steps = self.meanwhile.lock().unwrap().pop_front();
        for step in steps.iter().flatten() {
            self.step(step);
        }
    }
}

/// The number of bytes that are kept, as `Debug` shows it.
pub(crate) fn used(memory: &ReplayBuffer) -> u64 {
    let memory = format!("{memory:?}");
    let used = memory.split("used: ").nth(1).unwrap();
    let digits = used.find(|c: char| !c.is_ascii_digit()).unwrap();
    used[..digits].parse().unwrap()
}

/// Many more than any story needs.
const MOST_POLLS: usize = 5_000;
