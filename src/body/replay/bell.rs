use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    task::{Wake, Waker},
};

/// Wakes every attempt that waits for a source. A source can wake only one waker, whose attempt may be gone.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// The last waker of each attempt, by its number.
    waiting: Mutex<Vec<(u32, Waker)>>,
}

impl Bell {
    pub(super) fn listen(&self, attempt: u32, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = waiting.iter_mut().find(|(other, _)| *other == attempt);
        match kept {
            Some((_, kept)) if kept.will_wake(waker) => {}
            Some((_, kept)) => {
                let old = mem::replace(kept, waker.clone());
                // Drop outside the lock: a waker may run any code.
                drop(waiting);
                drop(old);
            }
            None => waiting.push((attempt, waker.clone())),
        }
    }

    pub(super) fn ring(&self) {
        // Wake outside the lock: a waker may run any code.
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
