//! Attempts at one body on several threads at once.

use std::{
    fmt::Display,
    hint::spin_loop,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::{Arc, Condvar, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use testing::PATIENCE;
use tower_together::body::{ReplayBuffer, RequestBody};

use crate::world::used;

/// A body that is sometimes ready, sometimes woken at once, and sometimes woken by another thread.
pub(crate) struct Restless<E> {
    frames: std::vec::IntoIter<Bytes>,
    /// Whether it reports its length.
    tells: bool,
    alarm: mpsc::Sender<Waker>,
    error: PhantomData<fn() -> E>,
}

/// Thousands of rounds: an attempt is read by one thread while another makes the next one and reads
/// that, and perhaps one more.
pub(crate) fn race<B, E>(seed: u64, tells: bool, wrap: impl Fn(Restless<E>) -> B)
where
    B: RequestBody + Body<Data = Bytes, Error: Display> + Send,
{
    let (alarm, rings) = mpsc::channel::<Waker>();
    let alarms = thread::spawn(move || rings.into_iter().for_each(Waker::wake));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..ROUNDS {
        let frames: Vec<Bytes> = (0..random.usize(0..8))
            .map(|_| Bytes::from(random.alphabetic().to_string().repeat(random.usize(0..4))))
            .collect();
        let whole = frames.concat();
        let known = random.bool();
        let memory = match random.u8(0..3) {
            0 => ReplayBuffer::new(whole.len() / 2, whole.len() / 2),
            _ => ReplayBuffer::new(whole.len(), whole.len()),
        };
        let body = wrap(Restless {
            frames: frames.into_iter(),
            tells: known,
            alarm: alarm.clone(),
            error: PhantomData,
        });
        round(body, &whole, &memory, tells, known, &mut random);
        assert_eq!(used(&memory), 0);
    }
    drop(alarm);
    alarms.join().unwrap();
}

fn round<B>(
    body: B,
    whole: &[u8],
    memory: &ReplayBuffer,
    tells: bool,
    known: bool,
    random: &mut fastrand::Rng,
) where
    B: RequestBody + Body<Data = Bytes, Error: Display> + Send,
{
    let (mut newest, kept) = body.replayable(memory);
    thread::scope(|scope| {
        for _ in 0..random.u8(1..3) {
            let before = scope.spawn(move || drain(newest));
            for _ in 0..random.u32(0..3_000) {
                spin_loop();
            }
            let Some(again) = B::again(&kept) else {
                let fits = memory
                    .reserve(0)
                    .is_some_and(|mut some| some.grow(whole.len()));
                assert!(!known || !fits, "it could have been made again");
                // In that case no attempt was abandoned.
                assert_eq!(before.join().unwrap().as_deref(), Ok(whole));
                return;
            };
            newest = again;
            scope.spawn(move || match before.join().unwrap() {
                Ok(read) => assert_eq!(read, whole, "it ended early"),
                Err(error) => assert!(tells, "who made this error? {error}"),
            });
        }
        assert_eq!(drain(newest).as_deref(), Ok(whole));
    });
}

/// Reads to the end, and is polled only when woken.
fn drain<B>(body: B) -> Result<Vec<u8>, String>
where
    B: Body<Data = Bytes, Error: Display>,
{
    let mut body = pin!(body);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut read = Vec::new();
    loop {
        match body.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Pending => bell.wait(),
            Poll::Ready(None) => return Ok(read),
            Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
            Poll::Ready(Some(Ok(frame))) => {
                read.extend(frame.into_data().unwrap());
                // hyper does not poll again in this case either.
                if body.is_end_stream() {
                    return Ok(read);
                }
            }
        }
    }
}

impl<E> Body for Restless<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        match fastrand::u8(0..8) {
            0 => cx.waker().wake_by_ref(),
            1 => self.alarm.send(cx.waker().clone()).unwrap(),
            _ => return Poll::Ready(self.frames.next().map(Frame::data).map(Ok)),
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.frames.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.frames.as_slice().iter().map(Bytes::len).sum::<usize>();
        match self.tells {
            true => SizeHint::with_exact(rest as u64),
            false => SizeHint::new(),
        }
    }
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    fn wait(&self) {
        let rung = self.rung.lock().unwrap();
        let waited = self
            .ringing
            .wait_timeout_while(rung, PATIENCE, |rung| !*rung);
        let (mut rung, _) = waited.unwrap();
        assert!(*rung, "it was forgotten");
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.ringing.notify_one();
    }
}

const ROUNDS: u32 = 3_000;
