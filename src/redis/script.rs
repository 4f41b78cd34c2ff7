//! The script that decides, and its call.

use std::{fmt::Write, sync::LazyLock};

use redis::{Cmd, Script, cmd};

use crate::{
    quota::shared::{Ask, Bound, Event, LaneAsk, LaneReply, Pace, Reply, ReportReply, Stamp, What},
    words::{Digest, Span, Unit, sha256},
};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

const TEXT: &str = include_str!("decide.lua");

/// The call by the script's hash. The server may not know the script.
pub(super) fn by_hash(namespace: &str, digest: &Digest, ask: &Ask) -> Cmd {
    let mut call = cmd("EVALSHA");
    call.arg(SCRIPT.get_hash());
    arguments(&mut call, namespace, digest, ask);
    call
}

/// The call with the script's text, which the server keeps.
pub(super) fn by_text(namespace: &str, digest: &Digest, ask: &Ask) -> Cmd {
    let mut call = cmd("EVAL");
    call.arg(TEXT);
    arguments(&mut call, namespace, digest, ask);
    call
}

/// The call at an instant that is its last argument, for tests.
#[cfg(test)]
pub(super) fn at(namespace: &str, digest: &Digest, ask: &Ask) -> Cmd {
    let clock = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]";
    assert!(TEXT.contains(clock));
    let mut call = cmd("EVAL");
    call.arg(TEXT.replace(clock, "local now = tonumber(ARGV[#ARGV])"));
    arguments(&mut call, namespace, digest, ask);
    call
}

fn arguments(call: &mut Cmd, namespace: &str, digest: &Digest, ask: &Ask) {
    let key = key(namespace, digest);
    call.arg(2).arg(format!("{key}h")).arg(format!("{key}m"));
    call.arg(ask.process)
        .arg(u8::from(ask.leaves))
        .arg(ask.known)
        .arg(micros(ask.memory))
        .arg(ask.until.0)
        .arg(micros(ask.lateness))
        .arg(micros(ask.cycle));
    call.arg(ask.reports.len());
    for report in &ask.reports {
        call.arg(name(report.lane.0))
            .arg(u8::from(report.learns))
            .arg(report.requests)
            .arg(report.tokens);
        for unit in Unit::BOTH {
            let Pace { apart, epoch } = report.paces[unit];
            call.arg(apart).arg(epoch);
        }
        call.arg(report.events.len());
        for event in &report.events {
            call.arg(event.what.code())
                .arg(code(event.of))
                .arg(event.since.0)
                .arg(micros(event.wait))
                .arg(event.at.0)
                .arg(event.amount);
        }
    }
    call.arg(ask.terms.len());
    for term in &ask.terms {
        let (max, window) = match term.bound {
            Bound::Window { max, window } => (max, micros(window)),
            Bound::Pace { report, of } => (0, 2 * (report as u64 + 1) + u64::from(code(of))),
        };
        call.arg(name(term.name.0))
            .arg(max)
            .arg(window)
            .arg(micros(term.lag))
            .arg(term.heard.0)
            .arg(term.owed);
    }
    call.arg(ask.lanes.len());
    for lane in &ask.lanes {
        call.arg(lane.report + 1)
            .arg(lane.want)
            .arg(u8::from(lane.returns))
            .arg(lane.costs.len());
        for (term, cost) in &lane.costs {
            call.arg(term + 1).arg(*cost);
        }
    }
}

/// The reply to a call; `None` if it is nonsense.
pub(super) fn reply(numbers: &[i64], ask: &Ask) -> Option<Reply> {
    let mut numbers = numbers.iter().map(|number| u64::try_from(*number).ok());
    let mut next = || numbers.next().flatten();
    let (now, members, lateness) = (
        Stamp(next()?),
        next()?,
        Span::nanos(next()?.checked_mul(1_000)?),
    );
    let dues = ask.terms.iter().map(|_| Some(Stamp(next()?)));
    let dues = dues.collect::<Option<_>>()?;
    let knows_process = members >= u64::from(!ask.leaves);
    if now.0 >= LATEST || !knows_process || members > MOST_MEMBERS {
        return None;
    }
    let reports = ask.reports.iter().map(|_| report(&mut next));
    let reports: Vec<_> = reports.collect::<Option<_>>()?;
    let lanes = ask.lanes.iter().map(|lane| {
        let reply = LaneReply {
            first: Stamp(next()?),
            apart: Span::nanos(next()?),
            n: next()?,
        };
        is_sound(&reply, lane, ask, &reports, (now, members, lateness)).then_some(reply)
    });
    let lanes = lanes.collect::<Option<_>>()?;
    Some(Reply {
        now,
        members,
        lateness,
        dues,
        reports,
        lanes,
    })
}

/// The part of the reply about a lane that was reported on.
fn report(next: &mut impl FnMut() -> Option<u64>) -> Option<ReportReply> {
    let mut reply = ReportReply {
        learns: next()? == 1,
        paused: Stamp(next()?),
        since: Stamp(next()?),
        ..ReportReply::default()
    };
    for unit in Unit::BOTH {
        reply.departed[unit] = next()?;
    }
    for unit in Unit::BOTH {
        reply.paces[unit] = Pace {
            apart: Some(next()?).filter(|apart| *apart <= Pace::LONGEST)?,
            epoch: Some(next()?).filter(|epoch| *epoch < LATEST)?,
        };
    }
    for _ in 0..next()? {
        let event = Event {
            what: What::of_code(next()?)?,
            of: if next()? == 1 {
                Unit::Tokens
            } else {
                Unit::Requests
            },
            since: Stamp(next()?),
            wait: Span::nanos(next()?.checked_mul(1_000)?),
            at: Stamp(next()?),
            amount: next()?,
        };
        reply.events.push(event);
    }
    Some(reply)
}

/// Whether the instants of a lane are such as the script names: not past, at most an hour and the turns of all
/// processes ahead, and as far apart as its limits are.
fn is_sound(
    reply: &LaneReply,
    lane: &LaneAsk,
    ask: &Ask,
    reports: &[ReportReply],
    (now, members, lateness): (Stamp, u64, Span),
) -> bool {
    let (mut apart, mut ahead) = (Span::ZERO, LONGEST_PAUSE);
    for &(place, cost) in &lane.costs {
        let term = &ask.terms[place];
        let (own, window) = match term.bound {
            Bound::Window { max, window } => {
                ((window + lateness + term.lag).div_ceil(max) * cost, window)
            }
            Bound::Pace { report, of } => {
                let apart = Span::nanos(reports[report].paces[of].apart / 1_000);
                (apart * cost, Span::ZERO)
            }
        };
        apart = apart.max(own);
        ahead = ahead.max(LONGEST_PAUSE + window * 8 + own * (2 * members + lane.want));
    }
    let first = Span::nanos(reply.first.as_nanos());
    let now = Span::nanos(now.as_nanos());
    let is_near = (now..=now + ahead).contains(&first);
    // What was given back lets instants come up to four times as close.
    is_near && reply.n <= lane.want && (reply.n == 0 || reply.apart >= apart / 4)
}

/// The beginning of the names of a key's two keys in Redis, in one slot of a cluster.
fn key(namespace: &str, digest: &Digest) -> String {
    let digest = sha256(&[namespace.as_bytes(), digest]);
    let mut key = format!("{namespace}:{{");
    for byte in &digest[..16] {
        let _ = write!(key, "{byte:02x}");
    }
    key.push('}');
    key
}

fn code(unit: Unit) -> u8 {
    match unit {
        Unit::Requests => 0,
        Unit::Tokens => 1,
    }
}

fn name(name: u64) -> String {
    format!("{name:016x}")
}

fn micros(span: Span) -> u64 {
    span.as_nanos().div_ceil(1_000)
}

/// An instant in the year 2255. The script counts in whole numbers below 2^53.
const LATEST: u64 = 9_000_000_000_000_000;
const MOST_MEMBERS: u64 = 1_000_000;
const LONGEST_PAUSE: Span = Span::secs(3_600);
