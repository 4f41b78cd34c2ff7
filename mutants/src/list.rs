//! The mutants, as `cargo mutants --list` reports them, and those known to be equivalent.

use std::{collections::HashMap, fs, path::Path, process::Command};

use serde::Deserialize;

use crate::{EXCLUDED, FILES, PACKAGES};

#[derive(Deserialize)]
pub struct Mutant {
    /// `src/file.rs:12:5: replace < with > in function`.
    pub name: String,
    pub file: String,
    pub span: Span,
    pub replacement: String,
    pub genre: Genre,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

/// One-based, the column in characters.
#[derive(Deserialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Mutant {
    /// The name without line and column.
    pub fn title(&self) -> String {
        let change = self.name.splitn(4, ':').nth(3).unwrap_or_default();
        format!("{}:{change}", self.file)
    }
}

impl Position {
    pub fn offset_in(&self, text: &str) -> usize {
        let line: usize = text
            .split_inclusive('\n')
            .take(self.line - 1)
            .map(str::len)
            .sum();
        let columns = text[line..].chars().take(self.column - 1);
        line + columns.map(char::len_utf8).sum::<usize>()
    }
}

/// Lists the mutants of `root`. The mutant at index 0 has the number 1.
pub fn mutants(root: &Path) -> Vec<Mutant> {
    let mut list = Command::new("cargo");
    list.current_dir(root).args(["mutants", "--list", "--json"]);
    list.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    list.args(FILES.iter().flat_map(|glob| ["-f", glob]));
    list.args(EXCLUDED.iter().flat_map(|glob| ["-e", glob]));
    let output = list.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo mutants failed (cargo install cargo-mutants --locked): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the list is JSON of a known form")
}

/// Reasons why a mutant is equivalent, by the mutant's title and the text of its first line.
pub struct Equivalent(HashMap<(String, String), Reason>);

struct Reason {
    why: String,
    used: bool,
}

impl Equivalent {
    /// Reads entries of three lines: the title, then indented `at:` and `why:`.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut entries = HashMap::new();
        while let Some(title) = lines.next() {
            let mut field = |name: &str| {
                let line = lines.next().unwrap_or_default().trim();
                let value = line.strip_prefix(name);
                value
                    .unwrap_or_else(|| panic!("{title}: expected {name}"))
                    .trim()
                    .to_owned()
            };
            let at = field("at:");
            let why = field("why:");
            entries.insert((title.to_owned(), at), Reason { why, used: false });
        }
        Self(entries)
    }

    pub fn why(&mut self, root: &Path, mutant: &Mutant) -> Option<&str> {
        let text = fs::read_to_string(root.join(&mutant.file)).expect("the source is there");
        let line = text
            .lines()
            .nth(mutant.span.start.line - 1)
            .unwrap_or_default();
        let reason = self.0.get_mut(&(mutant.title(), line.trim().to_owned()))?;
        reason.used = true;
        Some(&reason.why)
    }

    /// Titles in the file that no surviving mutant has.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let unused = self.0.iter().filter(|(_, reason)| !reason.used);
        unused.map(|((title, _), _)| title.as_str())
    }
}
