//! The script that decides, and its call.

use std::{fmt::Write, sync::LazyLock};

use redis::{Cmd, Script, cmd};

use crate::{
    quota::shared::{Ask, LaneAsk, LaneReply, Reply, Stamp},
    words::{Digest, Span, sha256},
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
    call.arg(ask.terms.len());
    for term in &ask.terms {
        call.arg(name(term.name.0))
            .arg(term.max)
            .arg(micros(term.window))
            .arg(micros(term.lag))
            .arg(term.heard.0)
            .arg(term.owed);
    }
    call.arg(ask.pauses.len());
    for pause in &ask.pauses {
        call.arg(name(pause.lane.0))
            .arg(pause.since.0)
            .arg(micros(pause.wait));
    }
    call.arg(ask.lanes.len());
    for lane in &ask.lanes {
        call.arg(name(lane.name.0))
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
    let lanes = ask.lanes.iter().map(|lane| {
        let reply = LaneReply {
            first: Stamp(next()?),
            apart: Span::nanos(next()?),
            n: next()?,
            paused: Stamp(next()?),
            since: Stamp(next()?),
        };
        is_sound(&reply, lane, ask, (now, members, lateness)).then_some(reply)
    });
    let lanes = lanes.collect::<Option<_>>()?;
    Some(Reply {
        now,
        members,
        lateness,
        dues,
        lanes,
    })
}

/// Whether the instants of a lane are such as the script names: not past, at most an hour and the turns of all
/// processes ahead, and as far apart as its limits are.
fn is_sound(
    reply: &LaneReply,
    lane: &LaneAsk,
    ask: &Ask,
    (now, members, lateness): (Stamp, u64, Span),
) -> bool {
    let (mut apart, mut ahead) = (Span::ZERO, LONGEST_PAUSE);
    for &(place, cost) in &lane.costs {
        let term = &ask.terms[place];
        let own = (term.window + lateness + term.lag).div_ceil(term.max) * cost;
        apart = apart.max(own);
        ahead = ahead.max(LONGEST_PAUSE + term.window * 8 + own * (2 * members + lane.want));
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
