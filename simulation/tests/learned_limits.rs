//! The example `learned_limits`, run as its users run it, and its drawings.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn example(args: &[&str]) -> Output {
    let mut command = testing::example("tower-together-simulation", "learned_limits");
    let folder = env!("CARGO_TARGET_TMPDIR");
    command.args(args).current_dir(folder).output().unwrap()
}

/// The drawing and the output of the example.
fn drawn(name: &str, args: &[&str]) -> (String, String) {
    let output = example(&[args, &[name]].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{errors}");
    assert_eq!(errors, "");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    (fs::read_to_string(path).unwrap(), said)
}

/// Checks that the documentation shows the current drawing, because the learning changes.
fn is_what_it_draws(name: &str, args: &[&str]) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", name]
        .iter()
        .collect();
    let (new, _) = drawn(name, args);
    assert!(
        fs::read_to_string(path).unwrap() == new,
        "docs/{name} is not what the example, as it was last built, draws. Was what is learned changed \
         on purpose, then renew it:\n  \
         cargo run --release -p tower-together-simulation --example learned_limits -- {} docs/{name}",
        args.join(" ")
    );
}

#[test]
fn the_drawing_in_the_readme_is_what_the_program_draws() {
    is_what_it_draws("learned_limits_bucket.svg", &["--server", "bucket"]);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn the_drawing_in_the_documentation_is_what_the_program_draws() {
    is_what_it_draws("learned_limits.svg", &[]);
}

/// Markdown treats lines as HTML up to the first empty one.
#[test]
fn a_drawing_is_one_piece_of_html_that_stays_by_itself() {
    let (drawing, _) = drawn("piece.svg", &["--server", "bucket"]);
    assert!(drawing.starts_with("<svg "));
    assert!(drawing.lines().all(|line| !line.trim().is_empty()));
    assert!(!drawing.contains("class=") && !drawing.contains("id="));
}

#[test]
fn it_says_for_each_client_what_was_used_and_how_many_429s_there_were() {
    let (_, said) = drawn("said.svg", &["--server", "bucket,fixed-second"]);
    for name in ["Bucket", "Fixed seconds"] {
        assert!(said.contains(&format!("\n{name}: ")), "{said}");
    }
    let figures = |line: &&str| line.contains(" % used ") && line.contains(" × 429 ");
    assert_eq!(said.lines().filter(figures).count(), 6, "{said}");
    assert!(said.ends_with("\ndrawn in said.svg\n"), "{said}");
}

#[test]
fn where_it_cannot_write_it_says_so() {
    let output = example(&["--server", "bucket", "nowhere/drawing.svg"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.starts_with("error: nowhere/drawing.svg: "),
        "{errors}"
    );
}
