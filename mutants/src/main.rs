//! Mutation testing in one build: see README.md.

mod baseline;
mod compile;
mod copy;
mod list;
mod run;
mod sites;
mod weave;

use std::{
    collections::{BTreeMap, HashSet},
    env,
    fmt::Write,
    fs,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    list::{Equivalent, Mutant},
    run::{Outcome, Test},
};

const PACKAGES: [&str; 3] = [
    "tower-together",
    "tower-together-jobs",
    "tower-together-simulation",
];
const CRATES: [&str; 2] = ["src/lib.rs", "jobs/src/lib.rs"];
const FILES: [&str; 5] = [
    "src/quota/**",
    "src/limiter/**",
    "src/retry/**",
    "src/rate_limit/**",
    "jobs/src/**",
];
/// Compiled under the model checker only.
const EXCLUDED: [&str; 2] = ["src/limiter/checker/**", "src/limiter/sync/**"];
/// Conditions (`cfg`) that do not hold in these tests.
const NOT_COMPILED: [&str; 2] = ["all(test,shuttle)", "feature=\"reqwest\""];
/// Tests that use more processor time are skipped unless `--slow` is given.
const LONGEST: Duration = Duration::from_millis(300);
const TESTS: [&str; 3] = ["tests", "jobs/tests", "simulation/tests"];
/// Tests of other programs, over sockets, or that read the sources.
const SKIPPED_TESTS: [&str; 8] = [
    "architecture",
    "clients",
    "connections",
    "embed_corpus",
    "examples",
    "learned_limits",
    "left_out",
    "outage",
];

fn main() -> ExitCode {
    let root = env::current_dir().expect("there is a current folder");
    let target = root.join("target/mutants");
    let places = copy::Places {
        root: &root,
        tree: target.join("tree"),
        build: target.join("build"),
        unviable: target.join("unviable"),
    };
    fs::create_dir_all(&places.tree).expect("target is writable");
    let (options, wanted): (Vec<_>, Vec<_>) = env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let slow = options.iter().any(|option| option == "--slow");
    let begun = Instant::now();

    eprintln!("== mutants");
    let mutants = list::mutants(&root);
    eprintln!("== build of {} mutants at once", mutants.len());
    let (binaries, unviable) = compile::compile(&places, &mutants);
    eprintln!(
        "== tests without a mutant ({} s)",
        begun.elapsed().as_secs()
    );
    let longest = if slow {
        Duration::from_secs(100)
    } else {
        LONGEST
    };
    let baseline = baseline::baseline(&binaries, &target.join("reached"), longest);
    for test in &baseline.slow {
        eprintln!("  slow, skipped: {test}");
    }
    for test in &baseline.failing {
        eprintln!("  fails without a mutant, skipped: {test}");
    }
    let tests = baseline.tests;
    let takes = tests.iter().map(|test| test.takes).sum::<Duration>();
    eprintln!(
        "  {} tests, which use {:.1} s of processor time",
        tests.len(),
        takes.as_secs_f64()
    );
    let numbered = (1..).zip(&mutants).filter(|(number, mutant)| {
        let wanted = wanted.is_empty() || wanted.iter().any(|wanted| mutant.name.contains(wanted));
        wanted && !unviable.contains(number)
    });
    let chosen: Vec<(u32, &Mutant)> = numbered.collect();
    eprintln!(
        "== tests with each of {} mutants ({} s)",
        chosen.len(),
        begun.elapsed().as_secs()
    );
    let results = detect_all(&binaries, &tests, &chosen);
    report(&root, &chosen, &results, wanted.is_empty())
}

fn detect_all(
    binaries: &[compile::Binary],
    tests: &[Test],
    chosen: &[(u32, &Mutant)],
) -> Vec<(bool, Outcome)> {
    let reached: HashSet<u32> = tests
        .iter()
        .flat_map(|test| &test.reaches)
        .copied()
        .collect();
    let done = AtomicUsize::new(0);
    run::in_parallel(chosen.len(), |at| {
        let (number, mutant) = chosen[at];
        let outcome = run::detect(binaries, tests, number);
        let done = 1 + done.fetch_add(1, Ordering::Relaxed);
        if done.is_multiple_of(100) {
            eprintln!("  {done} of {}", chosen.len());
        }
        if outcome == Outcome::Passed {
            eprintln!("  survived: {}", mutant.name);
        }
        (reached.contains(&number), outcome)
    })
}

/// Writes `target/mutants/outcomes`, prints survivors and figures, and fails if fewer than 97 % of
/// the mutants that are not equivalent are detected.
fn report(
    root: &Path,
    chosen: &[(u32, &Mutant)],
    results: &[(bool, Outcome)],
    whole: bool,
) -> ExitCode {
    let mut equivalent =
        Equivalent::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("equivalent.txt"));
    let mut outcomes = String::new();
    let mut counts = BTreeMap::new();
    for ((number, mutant), (reached, outcome)) in chosen.iter().zip(results) {
        let (kind, more) = match outcome {
            Outcome::Failed(test) => ("detected", test.clone()),
            Outcome::TimedOut(binary) => ("timed out", binary.clone()),
            Outcome::Passed => match equivalent.why(root, mutant) {
                Some(why) => ("equivalent", why.to_owned()),
                None if *reached => ("survived", String::new()),
                None => ("not reached", String::new()),
            },
        };
        *counts.entry(kind).or_insert(0usize) += 1;
        writeln!(outcomes, "{kind}\t{number}\t{}\t{more}", mutant.name).expect("a string grows");
    }
    fs::write(root.join("target/mutants/outcomes"), outcomes).expect("target is writable");
    for title in equivalent.unused().filter(|_| whole) {
        println!("detected, though equivalent.txt has it: {title}");
    }
    let count = |kinds: &[&str]| {
        kinds
            .iter()
            .filter_map(|kind| counts.get(kind))
            .sum::<usize>()
    };
    let detected = count(&["detected", "timed out"]);
    let total = detected + count(&["survived", "not reached"]);
    println!("{counts:?}: {detected} of {total} mutants that are not equivalent are detected");
    if detected * 100 >= total * 97 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
