//! Tests with a mutant switched on, within bounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::compile::Binary;

const SIGXCPU: i32 = 24;
/// A test that takes no processor time for this long waits for an event that never comes.
const IDLE: Duration = Duration::from_secs(4);
/// A test that polls again and again for an event that never comes is stopped after this real time.
const LONGEST: Duration = Duration::from_secs(120);
/// Tests that take less than this run first.
const QUICK: Duration = Duration::from_millis(100);

/// A test that passes without mutants and reaches some.
pub struct Test {
    pub binary: usize,
    pub name: String,
    /// Processor time.
    pub takes: Duration,
    pub reaches: BTreeSet<u32>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    Passed,
    /// This test failed.
    Failed(String),
    /// One of this binary's tests timed out.
    TimedOut(String),
}

/// Runs the tests that reach a mutant, the quickest first, until one fails. `tests` are in order.
pub fn detect(binaries: &[Binary], tests: &[Test], number: u32) -> Outcome {
    let reaching: Vec<&Test> = tests
        .iter()
        .filter(|test| test.reaches.contains(&number))
        .collect();
    let number = number.to_string();
    for quick in [true, false] {
        let mut by_binary: BTreeMap<usize, Vec<&Test>> = BTreeMap::new();
        for test in reaching.iter().filter(|test| quick == (test.takes < QUICK)) {
            by_binary.entry(test.binary).or_default().push(test);
        }
        let takes = |tests: &[&Test]| tests.iter().map(|test| test.takes).sum::<Duration>();
        let mut runs: Vec<_> = by_binary.into_iter().collect();
        runs.sort_by_key(|(_, tests)| takes(tests));
        for (binary, tests) in runs {
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            let most = 5 * takes(&tests) + Duration::from_secs(3);
            let (outcome, _) = run(&binaries[binary], &names, &[("MUTANT", &number)], most);
            if outcome != Outcome::Passed {
                return outcome;
            }
        }
    }
    Outcome::Passed
}

/// Runs some of a binary's tests until one fails, and returns the processor time they took. They may take `most` of it,
/// and 4 GB of address space. Real time hardly counts, so that a busy machine finds the same as an idle one.
pub fn run(
    binary: &Binary,
    names: &[&str],
    env: &[(&str, &str)],
    most: Duration,
) -> (Outcome, Duration) {
    let limits = format!(
        "ulimit -S -t {}; ulimit -v 4000000; exec \"$0\" \"$@\"",
        most.as_secs() + 1
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &limits])
        .arg(&binary.file)
        .args(["--exact", "--test-threads=1"]);
    command.args(names).current_dir(&binary.package);
    command
        .env("CARGO_MANIFEST_DIR", &binary.package)
        .env("RUST_BACKTRACE", "0");
    command
        .env("PROPTEST_CASES", "16")
        .env("PROPTEST_RNG_SEED", "1");
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
    command.envs(env.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the tests run");
    let outcome = watch(&mut child, binary);
    let takes = processor_time(&child);
    if outcome != Outcome::Passed {
        let _ = child.kill();
    }
    let status = child.wait().expect("the tests are a child");
    let outcome = match outcome {
        Outcome::Passed if status.signal() == Some(SIGXCPU) => {
            Outcome::TimedOut(binary.name.clone())
        }
        Outcome::Passed if !status.success() => {
            Outcome::Failed(format!("{} ({status})", binary.name))
        }
        outcome => outcome,
    };
    (outcome, takes)
}

/// Processor time of a process that has not been waited for, parsed as `man 5 proc` describes.
fn processor_time(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(10 * ticks)
}

fn watch(child: &mut Child, binary: &Binary) -> Outcome {
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (lines, read) = mpsc::channel();
    thread::spawn(move || {
        stdout
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| lines.send(line))
    });
    let begun = Instant::now();
    let mut taken = Duration::ZERO;
    loop {
        match read.recv_timeout(IDLE) {
            Ok(line) => {
                let test = line
                    .strip_prefix("test ")
                    .and_then(|line| line.strip_suffix(" ... FAILED"));
                if let Some(test) = test {
                    return Outcome::Failed(format!("{} {test}", binary.name));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Outcome::Passed,
            Err(RecvTimeoutError::Timeout) => {
                let before = std::mem::replace(&mut taken, processor_time(child));
                if before == taken || begun.elapsed() > LONGEST {
                    return Outcome::TimedOut(binary.name.clone());
                }
            }
        }
    }
}

/// Calls `work` for 0 to `count`, with more threads than cores because some of the work waits.
pub fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mine = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count);
        std::iter::from_fn(mine)
            .map(|at| (at, work(at)))
            .collect::<Vec<_>>()
    };
    let mut results = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..2 * cores).map(|_| scope.spawn(worker)).collect();
        let results = workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"));
        results.collect::<Vec<_>>()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
