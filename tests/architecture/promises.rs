//! Each invariant in ARCHITECTURE.md names its tests, or the lint that forbids to break it.

use std::{fs, path::Path};

#[test]
fn every_invariant_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let invariants = invariants(&text);
    assert!(invariants.len() > 10, "{invariants:#?}");
    for invariant in invariants {
        let (_, names) = invariant
            .split_once(" Tests: ")
            .or_else(|| invariant.split_once(" Lint: "))
            .unwrap_or_else(|| panic!("no test is named: {invariant}"));
        for name in names.split('`').skip(1).step_by(2) {
            assert!(exists(root, name), "there is no {name}: {invariant}");
        }
    }
}

/// The paragraphs that begin with "Invariant:", each in one line.
fn invariants(text: &str) -> Vec<String> {
    let (_, section) = text.split_once("\n## Invariants\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let paragraphs = section.split("\n- Invariant: ").skip(1);
    let lines = paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect()
}

/// Whether the file exists, or the file before `::` has a test with this name.
fn exists(root: &Path, name: &str) -> bool {
    let (file, test) = name.split_once("::").unwrap_or((name, ""));
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        return false;
    };
    test.is_empty() || is_test(&text, test)
}

fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else {
        return false;
    };
    let attributes = before.rsplit('\n').skip(1);
    attributes
        .take_while(|line| !line.is_empty())
        .any(|line| line.contains("#[test]") || line.contains("#[tokio::test"))
}
