//! The example `comparison`, run as its users run it, and what the documentation shows of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn example(args: &[&str]) -> Output {
    let mut command = testing::example("tower-together-simulation", "comparison");
    let folder = env!("CARGO_TARGET_TMPDIR");
    command.args(args).current_dir(folder).output().unwrap()
}

/// The folder into which a comparison writes, new and empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A comparison with some servers and one seed: its folder and its output.
fn short(name: &str, servers: &str) -> (PathBuf, String) {
    let folder = folder(name);
    let output = example(&["--server", servers, "--seeds", "1", "--to", name]);
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    // It fails if an aim is missed without a reason.
    assert!(output.status.success(), "{said}{errors}");
    (folder, said)
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn each_client_has_its_figures_with_each_server_and_the_aims_are_kept_or_have_a_reason() {
    let (folder, said) = short("short", "bucket,bursts-minute,3-told");
    let table = fs::read_to_string(folder.join("comparison_table.md")).unwrap();
    assert!(said.contains(&table), "{said}");
    for (client, servers) in [
        ("tower-together", 3),
        ("tower-together, number written", 3),
        ("tower-together, `unpaced`", 1),
        ("governor, burst of 1", 3),
        ("governor, full burst", 3),
        ("leaky-bucket", 3),
        ("tower-resilience", 3),
        ("plain bucket", 3),
        ("AWS SDKs, adaptive", 3),
        ("retries alone", 3),
    ] {
        let line =
            |line: &&str| line.starts_with(&format!("| {client} |")) && line.ends_with(" s |");
        assert_eq!(
            table.lines().filter(line).count(),
            servers,
            "{client}: {table}"
        );
    }
}

/// Markdown treats lines as HTML up to the first empty one.
#[test]
fn its_plots_are_pieces_of_html_that_stay_by_themselves() {
    let (folder, _) = short("plots", "3-told");
    for plot in ["comparison_used.svg", "comparison_429s.svg"] {
        let plot = fs::read_to_string(folder.join(plot)).unwrap();
        assert!(plot.starts_with("<svg "));
        assert!(plot.lines().all(|line| !line.trim().is_empty()));
        assert!(!plot.contains("class=") && !plot.contains("id="));
    }
}

#[test]
fn the_summary_in_the_readme_is_that_of_the_documentation() {
    let table = fs::read_to_string(docs().join("comparison_table.md")).unwrap();
    let summary = table.split("# ").nth(1).unwrap().lines();
    let summary: Vec<_> = summary.filter(|line| line.starts_with('|')).collect();
    assert!(summary.len() > 10, "{table}");
    let readme = fs::read_to_string(docs().join("../README.md")).unwrap();
    let missing = summary.iter().find(|line| !readme.contains(**line));
    assert_eq!(missing, None, "the README shows another comparison");
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn the_documentation_shows_what_the_program_finds_and_every_aim_is_kept_or_has_a_reason() {
    let folder = folder("whole");
    let output = example(&["--to", "whole"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    for file in [
        "comparison_table.md",
        "comparison_used.svg",
        "comparison_429s.svg",
    ] {
        let [new, shown] = [folder.as_path(), &docs()]
            .map(|folder| fs::read_to_string(folder.join(file)).unwrap());
        assert!(
            new == shown,
            "docs/{file} is not what the comparison, as it was last built, finds. Was the limiter changed on purpose, \
             then renew it, and its summary in the README:\n  \
             cargo run --release -p tower-together-simulation --example comparison"
        );
    }
    assert!(output.status.success(), "{errors}");
}

#[test]
fn it_rejects_a_server_that_it_does_not_know_and_a_folder_that_is_not_there() {
    for (args, says) in [
        (["--server", "fastest"], "bursts-minute"),
        (["--to", "nowhere"], "error: nowhere: no such folder"),
    ] {
        let output = example(&args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(errors.contains(says), "{errors}");
    }
}
