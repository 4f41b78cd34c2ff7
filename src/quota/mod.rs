//! The pure core: may this request depart now, not before some instant, or never?
//!
//! `now` is an argument, an instant since the limiter was made. There is no clock, no lock and no await, and
//! a rejection changes nothing: ask every limit, then charge all of them or none.

mod admission;
mod bucket;
mod counter;
mod departures;
mod gate;
mod gcra;
mod pace;
mod probe;
mod rate;
mod remaining;
mod sent;
#[cfg(feature = "redis")]
pub(crate) mod shared;
mod slots;
mod window;

pub(crate) use self::{
    admission::Admission,
    bucket::Bucket,
    gate::{Gate, News, Passage, Restart, Spares},
    rate::Rate,
    remaining::Remaining,
    slots::Slots,
};

/// An instant for tests, in seconds.
#[cfg(test)]
fn at(second: u64) -> crate::words::Instant {
    crate::words::Instant::START + crate::words::Span::secs(second)
}

/// A charge of `from` that proves to cost `to`, for tests.
#[cfg(test)]
fn settled(from: u64, to: u64) -> crate::words::Settled {
    let [from, to] = [from, to].map(crate::words::Weight);
    crate::words::Settled { from, to }
}
