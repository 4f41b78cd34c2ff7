//! Mutants that each test reaches, and its cost without one.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use crate::{
    compile::Binary,
    run::{Outcome, Test, in_parallel, run},
};

/// Result of running each test alone.
#[derive(Default)]
pub struct Baseline {
    /// The tests, quickest first.
    pub tests: Vec<Test>,
    /// Names of the tests that use more than the processor time allowed.
    pub slow: Vec<String>,
    /// Names of the tests that fail without a mutant.
    pub failing: Vec<String>,
}

/// Runs each test alone, for `longest` at most.
pub fn baseline(binaries: &[Binary], folder: &Path, longest: Duration) -> Baseline {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("target is writable");
    let all = binaries.iter().enumerate().flat_map(|(n, binary)| {
        let names = list(binary).into_iter();
        names.map(move |name| (n, name))
    });
    let all: Vec<_> = all.collect();
    let results = in_parallel(all.len(), |at| {
        let (binary, name) = &all[at];
        let record = folder.join(at.to_string());
        let file = record.to_str().expect("the path is UTF-8");
        let env = [("MUTANT", "record"), ("MUTANT_FILE", file)];
        let (outcome, takes) = run(&binaries[*binary], &[name], &env, longest);
        let reached = fs::read_to_string(&record).unwrap_or_default();
        let reaches = reached
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect();
        (outcome, takes, reaches)
    });
    let mut baseline = Baseline::default();
    for ((binary, name), (outcome, takes, reaches)) in all.into_iter().zip(results) {
        let full = format!("{} {name}", binaries[binary].name);
        match outcome {
            Outcome::Failed(_) => baseline.failing.push(full),
            Outcome::Passed if takes <= longest => {
                baseline.tests.push(Test {
                    binary,
                    name,
                    takes,
                    reaches,
                });
            }
            _ => baseline.slow.push(full),
        }
    }
    baseline.tests.sort_by_key(|test| test.takes);
    baseline
}

fn list(binary: &Binary) -> Vec<String> {
    let mut list = Command::new(&binary.file);
    let output = list.current_dir(&binary.package).arg("--list").output();
    let names = String::from_utf8(output.expect("the tests run").stdout).expect("UTF-8");
    let ignored = list
        .arg("--ignored")
        .output()
        .expect("the tests run")
        .stdout;
    let ignored = String::from_utf8(ignored).expect("UTF-8");
    let ignored: BTreeSet<&str> = ignored.lines().collect();
    let names = names.lines().filter(|line| !ignored.contains(line));
    names
        .filter_map(|line| Some(line.strip_suffix(": test")?.to_owned()))
        .collect()
}
