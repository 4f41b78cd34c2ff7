//! Slots of requests and of jobs.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Endpoint, Limiter, Limits,
    extension::ApiKey,
    limiter::{Call, Reason, Report},
};

use crate::{CHAT, chat};

#[tokio::test(start_paused = true)]
async fn slots_are_given_back_when_the_permit_is_dropped() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let first = limiter.acquire(chat()).await.unwrap();
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    assert_eq!(
        limiter.try_acquire(chat()).unwrap_err().reason(),
        Reason::WouldWait
    );
    drop(first);
    assert!(second.is_woken());
    let second = assert_ready!(second.poll()).unwrap();
    // A permit without a slot gives none back, and one with a slot holds it under the next table too.
    limiter.set_limits(Limits::none());
    let third = limiter.try_acquire(chat()).unwrap();
    limiter.set_limits(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    drop(third);
    assert!(limiter.try_acquire(chat()).is_err());
    drop(second);
    assert!(limiter.try_acquire(chat()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_named_job_keeps_its_slot_until_it_ends() {
    let create = Call::new(Endpoint::FineTuneCreate);
    let limiter = Limiter::new(Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN));
    let mut permit = limiter.try_acquire(&create).unwrap();
    permit.hold_for_job("ft-1");
    drop(permit);
    let mut next = task::spawn(limiter.acquire(create));
    assert_pending!(next.poll());
    assert!(!limiter.job_ended("ft-2"));
    assert!(limiter.job_ended("ft-1"));
    assert!(!limiter.job_ended("ft-1"));
    assert!(next.is_woken());
    let _permit = assert_ready!(next.poll()).unwrap();
}

/// Its slot was one of a limit that was gone, and another job could be created beside it.
#[tokio::test(start_paused = true)]
async fn a_job_whose_create_is_under_way_when_the_limits_change_has_a_slot() {
    let create = Call::new(Endpoint::FineTuneCreate).with_model("m");
    let jobs = || Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN);
    let own = || Limits::none().for_model("m", jobs());
    let unreadable = || {
        let (ok, headers) = (StatusCode::OK, HeaderMap::new());
        let now = SystemTime::UNIX_EPOCH;
        Report::read(Endpoint::FineTuneCreate, ok, &headers, b"<html>", now)
    };
    for tables in [
        vec![jobs(), jobs()],
        vec![jobs(), own()],
        vec![own(), jobs()],
        vec![jobs(), Limits::none(), jobs()],
        vec![jobs(), Limits::none(), own()],
    ] {
        for is_named in [true, false] {
            let mut tables = tables.clone().into_iter();
            let limiter = Limiter::new(tables.next().unwrap());
            let mut permit = limiter.try_acquire(&create).unwrap();
            for table in tables {
                limiter.set_limits(table);
            }
            match is_named {
                true => permit.hold_for_job("ft-1"),
                false => drop(permit.report(&unreadable())),
            }
            drop(permit);
            let full = limiter.try_acquire(&create).unwrap_err();
            assert_eq!(full.reason(), Reason::WouldWait);
            match is_named {
                true => assert!(limiter.job_ended("ft-1")),
                false => sleep(Duration::from_secs(3_600)).await,
            }
            drop(limiter.try_acquire(&create).unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_known_only_where_jobs_are_limited_and_ends_whichever_key_it_is_of() {
    let create = |key| Call::new(Endpoint::FineTuneCreate).with_key(ApiKey::new(key));
    for (limits, known) in [
        (Limits::none(), false),
        (
            Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN),
            true,
        ),
    ] {
        let limiter = Limiter::new(limits);
        for (key, job) in [("a", "ft-a"), ("b", "ft-b")] {
            limiter.try_acquire(create(key)).unwrap().hold_for_job(job);
        }
        assert_eq!(limiter.snapshot().jobs.len(), if known { 2 } else { 0 });
        assert_eq!(limiter.job_ended("ft-b"), known);
        drop(limiter.try_acquire(create("b")).unwrap());
    }
}
