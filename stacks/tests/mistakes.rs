//! The compiler's messages for the commonest mistakes. The programs are in `mistakes/`. Each begins with the way it
//! fails to compile, and the message that the user then gets.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The dependencies of the programs. The versions are those of the workspace's `Cargo.lock`.
const DEPENDENCIES: &str = r#"
async-openai = { version = "*", default-features = false, features = ["chat-completion", "middleware"] }
axum = { version = "*", default-features = false }
bytes = "*"
futures = "*"
http = "*"
http-body = "*"
http-body-util = "*"
hyper-util = { version = "*", default-features = false, features = ["client-legacy", "http1", "tokio"] }
reqwest = { version = "*", default-features = false }
reqwest-middleware = { version = "*", default-features = false }
tokio = { version = "*", features = ["rt"] }
tower = { version = "*", default-features = false, features = ["util"] }
"#;

#[test]
fn each_mistake_is_told_in_words_that_help() {
    check(
        "",
        &[
            "async-openai",
            "axum",
            "hyper",
            "reqwest",
            "reqwest-middleware",
        ],
    );
}

#[test]
fn a_forgotten_feature_is_told() {
    check("no_feature", &[]);
}

/// Compiles the programs of a folder together, and checks the messages for each.
fn check(folder: &str, features: &[&str]) {
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = programs(&stacks.join("tests/mistakes").join(folder));
    // The package is outside the workspace, so that it is not compiled with the rest.
    let package = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("mistakes")
        .join(folder);
    let package = package.join("package");
    let _ = fs::remove_dir_all(&package);
    fs::create_dir_all(package.join("src/bin")).unwrap();
    for (name, text) in &programs {
        fs::write(package.join("src/bin").join(format!("{name}.rs")), text).unwrap();
    }
    let crate_path = stacks.parent().unwrap();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\ntower-together = {{ path = {crate_path:?}, features = {features:?} }}\n\
         {DEPENDENCIES}"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(crate_path.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();

    let mut said = compile(&package);
    for (name, text) in &programs {
        let errors = said.remove(name).unwrap_or_default();
        assert!(!errors.is_empty(), "{name} compiles");
        as_expected(name, text, &errors);
    }
}

/// The programs of a folder, with name and text.
fn programs(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let files = paths.iter().filter(|path| path.is_file());
    let programs = files.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(path).unwrap())
    });
    programs.collect()
}

/// The errors of each program.
fn compile(package: &Path) -> HashMap<String, Vec<Value>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["check", "--bins", "--keep-going", "--offline"])
        .args(["--message-format", "json"])
        .current_dir(package)
        // Both folders share one target, so that everything but the crate itself is compiled once.
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes/target"));
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let messages = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let messages: Vec<Value> = messages.collect();
    let built = |message: &Value| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == "tower_together"
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(messages.iter().any(built), "{stderr}");

    let mut errors = HashMap::<_, Vec<_>>::new();
    for mut message in messages {
        let name = message["target"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let told = message["message"].take();
        // The last message is skipped: it only counts the others.
        if told["level"] == "error" && !told["spans"].as_array().unwrap().is_empty() {
            errors.entry(name).or_default().push(told);
        }
    }
    errors
}

/// Checks that all errors have a code that the program names, and that they contain its phrases.
fn as_expected(name: &str, text: &str, errors: &[Value]) {
    let named = |what: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("//~ "));
        let phrases = lines.filter_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        phrases.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let rendered = errors
        .iter()
        .map(|error| error["rendered"].as_str().unwrap());
    let rendered = rendered.collect::<String>();
    let codes = named("fails").concat();
    for error in errors {
        let code = error["code"]["code"].as_str().unwrap_or("none");
        assert!(
            codes.split(' ').any(|one| one == code),
            "{name}: {rendered}"
        );
        let mut spans = error["spans"].as_array().unwrap().iter();
        let primary = spans.find(|span| span["is_primary"] == true).unwrap();
        let file = primary["file_name"].as_str().unwrap();
        assert!(file.ends_with(&format!("{name}.rs")), "{name}: {rendered}");
    }
    let phrases = named("says");
    assert!(!phrases.is_empty(), "{name} expects nothing");
    for phrase in phrases {
        assert!(
            rendered.contains(&phrase),
            "{name}: no `{phrase}` in {rendered}"
        );
    }
}
