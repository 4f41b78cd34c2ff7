//! Responses of any bytes: the promises of all errors (`testing::promises::error`), of all whose usage is read as they
//! pass (`usage`), of all JSON (`reader`), and of all that are reported to the limiter (`report`). Each is checked with
//! a million responses, which are drawn anew each time. `PARSERS_SEED` in the environment draws the same again.

mod bodies;

use std::{
    fs,
    panic::{catch_unwind, resume_unwind},
    path::Path,
};

use fastrand::Rng;
use testing::promises::{error, reader, report, usage};

#[test]
fn whatever_a_response_says_the_promises_hold() {
    check(20_000);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn whatever_a_million_responses_say_the_promises_hold() {
    check(1_000_000);
}

#[test]
fn no_report_makes_a_lane_wait_longer_than_an_hour_or_leave_its_limits() {
    report(5_000);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn no_report_of_a_million_makes_a_lane_wait_longer_than_an_hour_or_leave_its_limits() {
    report(1_000_000);
}

#[test]
fn however_a_body_is_cut_it_passes_as_it_came_and_its_usage_is_found() {
    pass(5_000);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_million_bodies_pass_as_they_came_and_their_usage_is_found() {
    pass(1_000_000);
}

#[test]
fn whatever_stands_in_json_the_rest_is_read() {
    read(20_000);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn whatever_stands_in_a_million_bodies_of_json_the_rest_is_read() {
    read(1_000_000);
}

fn read(bodies: u64) {
    let mut rng = rng();
    let corpus = [corpus("reader"), corpus("api_error")].concat();
    let mut repaired = 0;
    for _ in 0..bodies {
        repaired += u64::from(watched(reader::check, &draw(&mut rng, &corpus)));
    }
    // Otherwise these would be the promises of a strict reader.
    assert!(repaired > bodies / 50, "{repaired}");
}

fn pass(responses: u64) {
    let mut rng = rng();
    let corpus = corpus("usage");
    let mut found = 0;
    for _ in 0..responses / 2 {
        let (input, charge) = bodies::draw(&mut rng);
        assert_eq!(
            watched(usage::check, &input),
            charge,
            "{}",
            input.escape_ascii()
        );
        found += u64::from(watched(usage::check, &draw(&mut rng, &corpus)) != 7);
    }
    assert!(found > responses / 50);
}

fn report(responses: u64) {
    let mut rng = rng();
    let corpus = [corpus("report"), corpus("api_error")].concat();
    let mut seen = [0; 4];
    for _ in 0..responses {
        let did = watched(report::check, &draw(&mut rng, &corpus));
        let did = [did.paused, did.learned, did.settled, did.held];
        seen.iter_mut()
            .zip(did)
            .for_each(|(seen, did)| *seen += u64::from(did));
    }
    // Otherwise these would be the promises of responses that change nothing.
    assert!(seen.iter().all(|seen| *seen > responses / 200), "{seen:?}");
}

fn rng() -> Rng {
    let seed = std::env::var("PARSERS_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    say(format_args!("PARSERS_SEED={seed}"));
    Rng::with_seed(seed)
}

fn watched<T>(check: fn(&[u8]) -> T, input: &[u8]) -> T {
    catch_unwind(|| check(input)).unwrap_or_else(|panic| {
        say(format_args!("of b\"{}\"", input.escape_ascii()));
        resume_unwind(panic)
    })
}

fn check(responses: u64) {
    let mut rng = rng();
    let corpus = corpus("api_error");
    let (mut messages, mut codes, mut waits) = (0, 0, 0);
    for _ in 0..responses {
        let input = draw(&mut rng, &corpus);
        let error = watched(error::check, &input);
        messages += u64::from(!error.message().is_empty());
        codes += u64::from(error.code().is_some());
        waits += u64::from(error.retry_after().is_some());
    }
    // Otherwise these would be the promises of responses without a usage.
    let few = responses / 50;
    assert!(messages > few && codes > few && waits > few);
}

/// A response from the corpus, changed in one to three ways; one in eight is noise.
fn draw(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = rng.choice(corpus).unwrap().clone();
    if rng.u8(..8) == 0 {
        input = (0..rng.usize(..256)).map(|_| rng.u8(..)).collect();
    }
    for _ in 0..rng.u8(1..=3) {
        let other = rng.choice(corpus).unwrap();
        change(rng, &mut input, other);
    }
    input.truncate(LONGEST);
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(..=input.len());
    let few = 1 << rng.u8(..6);
    let to = (at + few).min(input.len());
    match rng.u8(..8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        1 => input.truncate(at),
        2 => drop(input.drain(at..to)),
        3 => {
            let times = 1 << rng.u8(..8);
            let again = input[at..to].repeat(times);
            input.splice(at..at, again);
        }
        4 => {
            let piece = &other[rng.usize(..other.len())..];
            input.splice(at.., piece.iter().copied());
        }
        5 => {
            let odd = rng.choice(ODD).unwrap();
            input.splice(at..at, odd.iter().copied());
        }
        6 => {
            let open = rng.choice(OPEN).unwrap().repeat(rng.usize(1..200));
            input.splice(at..at, open);
        }
        _ => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            let at = at + input[at..].iter().position(digit).unwrap_or_default();
            let run = input[at..].iter().take_while(|byte| digit(byte)).count();
            let number = number(rng);
            input.splice(at..at + run, number.into_bytes());
        }
    }
}

fn number(rng: &mut Rng) -> String {
    match rng.u8(..4) {
        0 => rng.choice(NUMBERS).unwrap().to_string(),
        1 => rng.u64(..).to_string(),
        2 => f64::from_bits(rng.u64(..)).to_string(),
        _ => format!(
            "{}.{:0width$}",
            rng.u16(..),
            rng.u32(..),
            width = rng.usize(..20)
        ),
    }
}

/// The fuzzer's seeds, and beside them its findings, in files without an extension.
fn corpus(of: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(of);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    // The same seed draws the same responses.
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[expect(clippy::print_stdout, reason = "what it takes to see a failure again")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}

/// The bytes of a body that the layers read.
const LONGEST: usize = 16 * 1_024;

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "0.0",
    "1.1",
    "1e308",
    "1e309",
    "-1e308",
    "5e-324",
    "1e-9",
    "NaN",
    "inf",
    "1e9",
    "999999999",
    "9007199254740993",
    "18446744073709551616",
    "0x10",
    "1_000",
    "+5",
    ".5",
    "5.",
];

/// Bytes that break lines, letters and strings.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\t",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\x1b[31m",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{feff}".as_bytes(),
    b"null",
    b"<title>",
    b"</title>",
    b": ",
    b"\ncontent-encoding: br",
    b"\nretry-after: ",
    b"\nretry-after-ms: ",
    b"\nx-request-id: ",
];

const OPEN: &[&[u8]] = &[
    b"[",
    b"{\"error\":",
    b"{\"error\":{\"message\":",
    b"]",
    b"}",
    b"\xc3\xa9",
    b" ",
];
