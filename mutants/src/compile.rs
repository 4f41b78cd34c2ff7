//! A copy of the sources with all mutants woven in, and its test binaries.

use std::{
    collections::{HashMap, HashSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    CRATES, PACKAGES, SKIPPED_TESTS, TESTS,
    copy::{Places, copy, write},
    list::Mutant,
    weave::{Woven, weave},
};

pub struct Binary {
    pub name: String,
    pub file: PathBuf,
    pub package: PathBuf,
}

/// Builds the tests with all `mutants` that compile; also returns the numbers of the others.
pub fn compile(places: &Places<'_>, mutants: &[Mutant]) -> (Vec<Binary>, HashSet<u32>) {
    let files = copy(places, mutants);
    let known = fs::read_to_string(&places.unviable).unwrap_or_default();
    let known: HashSet<&str> = known.lines().collect();
    let keys: Vec<String> = mutants
        .iter()
        .map(|mutant| key(places.root, mutant))
        .collect();
    let mut unviable: HashSet<u32> = (1..)
        .zip(&keys)
        .filter_map(|(number, key)| known.contains(key.as_str()).then_some(number))
        .collect();
    loop {
        let woven = weave_all(places, mutants, &files, &mut unviable);
        let (built, messages) = cargo(places);
        let errors = messages
            .iter()
            .filter(|message| message["message"]["level"] == "error");
        let errors: Vec<_> = errors.map(|error| &error["message"]).collect();
        eprintln!(
            "  {} errors, {} mutants do not compile",
            errors.len(),
            unviable.len()
        );
        let before = unviable.len();
        unviable.extend(errors.iter().flat_map(|error| blamed(error, &woven)));
        let lines = unviable
            .iter()
            .map(|number| keys[*number as usize - 1].as_str());
        let lines: Vec<&str> = lines.collect();
        fs::write(&places.unviable, lines.join("\n")).expect("target is writable");
        if built {
            return (messages.iter().filter_map(binary).collect(), unviable);
        }
        if unviable.len() == before {
            let error = errors.first().and_then(|error| error["rendered"].as_str());
            panic!("no mutant is to blame: {}", error.unwrap_or("see above"));
        }
    }
}

/// Identifies a mutant for as long as its file stays as it is.
fn key(root: &Path, mutant: &Mutant) -> String {
    let mut hasher = DefaultHasher::new();
    fs::read(root.join(&mutant.file))
        .expect("the source is readable")
        .hash(&mut hasher);
    format!(
        "{:016x} {}",
        hasher.finish(),
        mutant.name.replace('\n', " ")
    )
}

fn weave_all(
    places: &Places<'_>,
    mutants: &[Mutant],
    files: &HashSet<PathBuf>,
    unviable: &mut HashSet<u32>,
) -> HashMap<PathBuf, Woven> {
    let mut all = HashMap::new();
    for file in files {
        let source = fs::read_to_string(places.root.join(file)).expect("the source is UTF-8");
        let here = (1..)
            .zip(mutants)
            .filter(|(_, mutant)| Path::new(&mutant.file) == file);
        let here: Vec<_> = here
            .filter(|(number, _)| !unviable.contains(number))
            .collect();
        let (mut woven, nowhere) = weave(&source, &here);
        unviable.extend(nowhere);
        if CRATES.iter().any(|root| Path::new(root) == file) {
            let count = (mutants.len() + 1).to_string();
            woven.text += &include_str!("switch.rs").replace("1 + 1", &count);
        }
        write(&places.tree.join(file), woven.text.as_bytes());
        all.insert(file.clone(), woven);
    }
    all
}

/// Builds the tests of the copy; returns whether that went well, and cargo's messages.
fn cargo(places: &Places<'_>) -> (bool, Vec<Value>) {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&places.tree)
        .env("CARGO_TARGET_DIR", &places.build);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false");
    cargo.args([
        "test",
        "--no-run",
        "--no-fail-fast",
        "--message-format=json",
        "--lib",
    ]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    for test in tests(&places.tree) {
        cargo.args(["--test", &test]);
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let messages = lines.map(|line| serde_json::from_slice(line).expect("cargo writes JSON"));
    (output.status.success(), messages.collect())
}

fn tests(tree: &Path) -> HashSet<String> {
    let folders = TESTS.iter().map(|folder| tree.join(folder));
    let files = folders.flat_map(|tests| fs::read_dir(tests).expect("each package has tests"));
    let files = files.flatten().map(|file| file.path());
    let programs = files.filter(|file| {
        file.extension().is_some_and(|extension| extension == "rs") || file.join("main.rs").exists()
    });
    let names = programs.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    names
        .filter(|name| !SKIPPED_TESTS.contains(&name.as_str()))
        .collect()
}

/// The mutants that caused an error: those whose text contains it, or else the nearest ones around it.
fn blamed(error: &Value, woven: &HashMap<PathBuf, Woven>) -> Vec<u32> {
    let spans = error["spans"].as_array().into_iter().flatten();
    let mut spans: Vec<_> = spans.filter_map(|span| place(span, woven)).collect();
    spans.sort_by_key(|(primary, ..)| !primary);
    let within = spans.iter().map(|(_, file, span)| file.within(span));
    let around = spans.iter().map(|(_, file, span)| file.around(span));
    within
        .chain(around)
        .find(|mutants| !mutants.is_empty())
        .unwrap_or_default()
}

fn place<'a>(
    span: &Value,
    woven: &'a HashMap<PathBuf, Woven>,
) -> Option<(bool, &'a Woven, Range<usize>)> {
    let file = woven.get(Path::new(span["file_name"].as_str()?))?;
    let offset = |name: &str| Some(span[name].as_u64()? as usize);
    Some((
        span["is_primary"] == true,
        file,
        offset("byte_start")?..offset("byte_end")?,
    ))
}

fn binary(message: &Value) -> Option<Binary> {
    if message["profile"]["test"] != true {
        return None;
    }
    let manifest = Path::new(message["manifest_path"].as_str()?);
    Some(Binary {
        name: message["target"]["name"].as_str()?.to_owned(),
        file: message["executable"].as_str()?.into(),
        package: manifest.parent()?.to_owned(),
    })
}
