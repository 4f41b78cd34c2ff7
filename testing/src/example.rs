//! Examples, as they were last built.

use std::{path::Path, process::Command};

/// The example of a package, built with the same profile as the running test.
pub fn example(package: &str, name: &str) -> Command {
    // The test is in target/PROFILE/deps, and `cargo test` builds the examples beside that.
    let test = std::env::current_exe().expect("the path of the test");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE");
    let path = profile.join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "build it first: cargo build -p {package} --example {name}"
    );
    Command::new(path)
}
