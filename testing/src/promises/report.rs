//! Promises of every response that is reported to the limiter, for the fuzzer and for
//! `tests/parsers`.

#![allow(
    clippy::disallowed_methods,
    reason = "real instants are compared with the limiter's"
)]

use std::{
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, StatusCode};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    limiter::{Call, Permit, Report},
};

/// Effects of a response.
#[derive(Default)]
pub struct Did {
    pub paused: bool,
    pub learned: bool,
    pub settled: bool,
    pub held: bool,
}

/// Reports a response in the format of `corpus/`: a status, headers, an empty line, a body. Whichever request it is
/// for, nothing panics, nothing waits for more than an hour, and no count leaves its limit.
pub fn check(input: &[u8]) -> Did {
    let response = super::response::parse(input);
    let mut did = Did::default();
    for endpoint in [CHAT, CREATE, Endpoint::BatchCancel, Endpoint::BatchList] {
        let report = read(endpoint, &response);
        assert_eq!(report, read(endpoint, &response), "the same response");
        let limiter = limiter();
        let mut permits = [7, 7].map(|tokens| permit(&limiter, endpoint, tokens));
        // A response that is late, and to a request that was sent before another's was rejected.
        let late = report.clone().about_job("b-1").read_after(LATE);
        for (permit, report) in permits.iter_mut().zip([report, late]) {
            let until = permit.report(&report);
            did.paused |= until.is_some();
            let longest = Instant::now() + HOUR;
            assert!(until.is_none_or(|until| until.into_std() <= longest));
            check_lanes(&limiter, &mut did);
        }
        drop(permits);
        check_lanes(&limiter, &mut did);
    }
    did
}

fn read(endpoint: Endpoint, (status, headers, body): &(StatusCode, HeaderMap, &[u8])) -> Report {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    Report::read(endpoint, *status, headers, body, now)
}

fn limiter() -> Limiter {
    let quota = Quota::per_minute(MOST).unwrap().unpaced();
    let limits = Limits::none()
        .tokens(CHAT, quota)
        .jobs(CREATE, NonZeroU32::new(2).unwrap());
    Limiter::new(limits)
}

fn permit(limiter: &Limiter, endpoint: Endpoint, tokens: u64) -> Permit {
    let call = Call::new(endpoint).with_tokens(tokens);
    limiter.try_acquire(&call).unwrap()
}

fn check_lanes(limiter: &Limiter, did: &mut Did) {
    let snapshot = limiter.snapshot();
    let longest = Instant::now() + HOUR;
    for lane in &snapshot.lanes {
        for at in [lane.next, lane.paused].into_iter().flatten() {
            assert!(at.into_std() <= longest, "{lane:?}");
        }
        for limit in &lane.limits {
            assert!(limit.left <= limit.max, "{limit:?}");
            did.learned |= limit.learned;
            did.settled |= limit.max == MOST && limit.left != MOST - 14;
        }
    }
    assert!(snapshot.jobs.iter().all(|job| job.id.len() <= 256));
    did.held |= !snapshot.jobs.is_empty();
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
const CREATE: Endpoint = Endpoint::BatchCreate;

const HOUR: Duration = Duration::from_secs(3_600);
const LATE: Duration = Duration::from_millis(100);

/// The largest quota per minute.
const MOST: u64 = 600_000_000;
