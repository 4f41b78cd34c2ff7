use std::{convert::Infallible, env, fs};

use serde_json::{Value, json};

use super::*;

/// A file of its own for each test.
fn path(test: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("results-{test}-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

fn open(path: &Path) -> io::Result<Results> {
    Results::open(path, |line: Value| {
        if line["model"] == "other" {
            return Err("of another model");
        }
        Ok(line["text"].as_str().map(str::to_owned))
    })
}

fn line(text: &str) -> Value {
    json!({"text": text})
}

#[test]
fn a_key_that_was_written_is_known_again() {
    let path = path("again");
    let mut results = open(&path).unwrap();
    assert!(results.is_empty() && !results.has("a"));
    results.write("a", &line("a")).unwrap();
    results.write("b", &line("b")).unwrap();
    results.sync().unwrap();
    assert!(results.has("a") && !results.has("c"));
    drop(results);
    let mut again = open(&path).unwrap();
    assert_eq!(again.len(), 2);
    assert!(!again.claim("a"));
    assert!(
        again.claim("c") && !again.claim("c"),
        "one item of a run for each key"
    );
    assert_eq!(again.len(), 2);
    drop(again);
    let again = open(&path).unwrap();
    assert!(again.has("a") && again.has(&"b".to_owned()) && !again.has("c"));
    fs::remove_file(path).unwrap();
}

#[test]
fn a_line_that_was_cut_short_anywhere_is_overwritten() {
    let path = path("cut");
    let (one, two) = ("{\"text\":\"a\"}\n", "{\"text\":\"é\"}\n");
    for length in one.len()..one.len() + two.len() - 1 {
        let all = [one, two].concat();
        fs::write(&path, &all.as_bytes()[..length]).unwrap();
        let mut results = open(&path).unwrap();
        assert!(results.has("a") && !results.has("é"), "{length}");
        results.write("c", &line("c")).unwrap();
        drop(results);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{one}{{\"text\":\"c\"}}\n"), "{length}");
    }
    fs::remove_file(path).unwrap();
}

/// An editor that leaves out the last line break, or a kill just before it.
#[test]
fn a_last_line_without_its_end_is_kept() {
    let path = path("end");
    fs::write(&path, "{\"text\":\"a\"}").unwrap();
    let mut results = open(&path).unwrap();
    assert!(results.has("a"));
    results.write("b", &line("b")).unwrap();
    let text = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_file_of_something_else_is_left_as_it_is_and_its_line_named() {
    let path = path("other");
    let good = "{\"text\":\"a\"}\n";
    for (text, said) in [
        (
            format!("{good}a book\n{good}"),
            ", line 2: expected value at column 1",
        ),
        (
            format!("{good}{{\"model\":\"other\"}}\n"),
            ", line 2: of another model",
        ),
        (
            "{\"model\":\"other\"}".to_owned(),
            ", line 1: of another model",
        ),
        ("a book".to_owned(), ", line 1: expected value at column 1"),
        (
            "{\n  \"text\": \"a\"\n}\n".to_owned(),
            ", line 1: EOF while parsing an object at column 1",
        ),
    ] {
        fs::write(&path, &text).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn a_restart_deletes_with_its_first_result_and_not_before() {
    let path = path("restart");
    fs::write(&path, "a book\nof two lines\n").unwrap();
    let mut results = Results::restart(&path).unwrap();
    assert!(results.is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a book\nof two lines\n");
    results.write("a", &line("a")).unwrap();
    results.write("b", &line("b")).unwrap();
    let text = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_second_writer_is_told_and_a_failed_write_is_overwritten() {
    let path = path("two");
    let mut first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(
        error.to_string().contains("another run is writing it"),
        "{error}"
    );
    assert!(Results::restart(&path).is_err());
    // As a full disk leaves it.
    fs::write(&path, "{\"te").unwrap();
    first.torn = true;
    first.write("a", &line("a")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"text\":\"a\"}\n");
    drop(first);
    assert!(open(&path).is_ok());
    fs::remove_file(path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_is_written_through_and_what_is_no_file_is_rejected() {
    let (path, link) = (path("target"), path("link"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    open(&link).unwrap().write("a", &line("a")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"text\":\"a\"}\n");
    for special in ["/dev/null", "/", "/dev/null/x"] {
        let error = open(Path::new(special)).unwrap_err().to_string();
        assert!(error.starts_with(special), "{error}");
    }
    for path in [path, link] {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_line_that_is_no_result_leaves_its_item_open() {
    let path = path("open");
    fs::write(&path, "{\"error\":\"500\"}\n{\"text\":\"a\"}\n").unwrap();
    let key = |line: Value| Ok::<_, Infallible>(line["text"].as_str().map(str::to_owned));
    assert_eq!(Results::open(&path, key).unwrap().len(), 1);
    fs::remove_file(path).unwrap();
}
