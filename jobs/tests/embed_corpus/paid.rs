//! An embedded text is paid for: its vector is kept, and it is not embedded again.

use super::*;

/// A text of as many passages, each in words of its own.
fn book(name: &str, passages: usize) -> String {
    let words = 0..20 + 60 * passages;
    words.map(|word| format!("{name}{word} ")).collect()
}

/// An empty folder with a book, and the output.
fn folder_with_book(test: &str, passages: usize) -> (PathBuf, PathBuf) {
    let folder = folder(test);
    fs::write(folder.join("a.txt"), book("a", passages)).unwrap();
    let output = folder.join("embeddings.jsonl");
    (folder, output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_continued_by_the_same_command() {
    let folder = folder("killed");
    // No spaces in one file, and no text in the other.
    fs::write(folder.join("book.txt"), letters(5_000)).unwrap();
    fs::write(folder.join("picture.png"), [0x89, b'P', 0xff, 0]).unwrap();
    let output = folder.join("embeddings.jsonl");
    let (server, url) = stand_in(Rules::none()).await;
    let run = |args: &[&str]| example(&folder, &[&["--base-url", &url], args, &["."]].concat());

    // Two responses, and none to the third request.
    let vectors = json!({"data": vec![json!({"embedding": [1.0]}); 20]});
    let two = Answer::status(200).body(vectors.to_string()).times(2);
    server.script("POST", "/embeddings", two);
    let none = Answer::reset().delay(Duration::from_secs(3_600));
    server.script("POST", "/embeddings", none);
    let mut child = spawn(run(&["--concurrency", "1"]));
    wait_for(&mut child, &output, 40).await;
    until("the third waits", async || server.stats().arrived == 3).await;
    child.kill().await.unwrap();
    // As if the end had come within a line.
    let killed = fs::read_to_string(&output).unwrap();
    assert_eq!(killed.lines().count(), 40);
    fs::write(&output, format!("{killed}{{\"source\":\"book.txt\",\"te")).unwrap();

    let ended = end(run(&[])).await;
    assert!(ended.stderr.contains("40 texts are there"), "{ended:?}");
    assert!(ended.stderr.contains("picture.png"), "{ended:?}");
    let all = lines(output.clone());
    let left = (all.len() - 40) as u32;
    assert_eq!(ended.counts(), [left, left.div_ceil(20), 0, 0]);
    let text = fs::read_to_string(&output).unwrap();
    assert!(text.starts_with(&killed));

    // Nothing is left to do, and nothing is done.
    let ended = end(run(&[])).await;
    assert_eq!((ended.code, ended.counts()), (Some(0), [0; 4]));
    assert_eq!(fs::read_to_string(&output).unwrap(), text);
}

/// Words without spaces, each of another letter.
fn letters(words: u32) -> String {
    let letters = (0..words).map(|word| char::from_u32(0x4e00 + word).unwrap());
    letters.map(|letter| letter.to_string().repeat(8)).collect()
}

/// An edited early file, fewer requests, a renamed file: 700 lines were cut to 60.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_other_texts_keeps_what_was_embedded_and_adds_what_is_missing() {
    let (folder, output) = folder_with_book("edited", 100);
    fs::write(folder.join("b.txt"), book("b", 40)).unwrap();
    let (_server, url) = stand_in(Rules::none()).await;
    let run = |args: &[&str]| run(&folder, &[&["--base-url", &url], args, &["."]].concat());
    assert_eq!(run(&[]).counts(), [140, 7, 0, 0]);
    let first = fs::read_to_string(&output).unwrap();

    let fewer = run(&["--requests", "3"]);
    assert_eq!((fewer.code, fewer.counts()), (Some(0), [0; 4]));
    fs::rename(folder.join("b.txt"), folder.join("c.txt")).unwrap();
    assert_eq!(run(&[]).counts(), [0; 4]);
    assert_eq!(fs::read_to_string(&output).unwrap(), first);

    // A word in the first passage, which is in no other.
    let edited = book("a", 100).replacen("a0 ", "a0! ", 1);
    fs::write(folder.join("a.txt"), edited).unwrap();
    assert_eq!(run(&[]).counts(), [1, 1, 0, 0]);
    assert!(fs::read_to_string(&output).unwrap().starts_with(&first));
    assert_eq!(lines(output.clone()).len(), 141);

    assert_eq!(run(&["--restart"]).counts(), [140, 7, 0, 0]);
    assert_eq!(lines(output).len(), 140);
}

/// A wrong key or a server that was away replaced 804 vectors with 804 errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_deletes_nothing_and_neither_does_a_restart_that_fails() {
    let (folder, output) = folder_with_book("wrong-key", 40);
    let (server, url) = stand_in(Rules::none()).await;
    let run = |args: &[&str]| run(&folder, &[&["--base-url", &url], args, &["."]].concat());
    assert_eq!(run(&[]).counts(), [40, 2, 0, 0]);
    let first = fs::read_to_string(&output).unwrap();
    fs::write(folder.join("b.txt"), book("b", 20)).unwrap();
    let denied = Answer::status(401).body(r#"{"error":{"message":"Invalid API key"}}"#);
    server.script("POST", "/embeddings", denied.times(100));
    for args in [&[][..], &["--restart"]] {
        assert_eq!(run(args).code, Some(1));
        assert_eq!(fs::read_to_string(&output).unwrap(), first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_two_models_or_servers_are_not_mixed_in_one_file() {
    let (folder, output) = folder_with_book("mixed", 20);
    let ((_one, url), (_two, other)) =
        (stand_in(Rules::none()).await, stand_in(Rules::none()).await);
    assert_eq!(
        run(&folder, &["--base-url", &url, "."]).counts(),
        [20, 1, 0, 0]
    );
    let first = fs::read_to_string(&output).unwrap();
    for args in [
        &["--base-url", &url, "--model", "another/model", "."][..],
        &["--base-url", &other, "."],
        // Nor are they replaced by those of the demonstration, which mean nothing.
        &["--requests", "1"],
    ] {
        let ended = example(&folder, args).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(
            said.contains("embeddings.jsonl, line 1: a vector of"),
            "{said}"
        );
        assert!(said.contains("--restart"), "{said}");
        assert_eq!(fs::read_to_string(&output).unwrap(), first);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_one_output_is_told_of_the_first() {
    let (folder, output) = folder_with_book("two", 40);
    let (server, url) = stand_in(Rules::none()).await;
    let none = Answer::reset().delay(Duration::from_secs(3_600));
    server.script("POST", "/embeddings", none.times(2));
    let mut first = spawn(example(&folder, &["--base-url", &url, "."]));
    until("it has sent", async || server.stats().arrived == 2).await;
    std::os::unix::fs::symlink(&output, folder.join("link.jsonl")).unwrap();
    for args in [
        &["--base-url", &url, "--model", "another/model", "."][..],
        &["--base-url", &url, "--restart", "."],
        &["--base-url", &url, "--output", "link.jsonl", "."],
    ] {
        let second = example(&folder, args).output().unwrap();
        assert_eq!(second.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(second.stderr).unwrap();
        assert!(said.contains("another run is writing it"), "{said}");
    }
    first.kill().await.unwrap();
    assert_eq!(
        end(example(&folder, &["--base-url", &url, "."]))
            .await
            .counts(),
        [40, 2, 0, 0]
    );
}

/// The stand-in's vectors mean nothing: its runs can be seen again and again, and need no other file.
#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_begins_anew_once_it_is_whole_and_gives_way_to_a_server() {
    let folder = folder("again");
    for _ in 0..2 {
        assert_eq!(run(&folder, &["--requests", "2"]).counts(), [40, 2, 0, 0]);
    }
    let path = folder.join("embeddings.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let part: String = text.split_inclusive('\n').take(30).collect();
    fs::write(&path, part).unwrap();
    assert_eq!(run(&folder, &["--requests", "2"]).counts(), [10, 1, 0, 0]);
    let (_server, url) = stand_in(Rules::none()).await;
    let ended = run(&folder, &["--requests", "2", "--base-url", &url]);
    assert_eq!(ended.counts(), [40, 2, 0, 0]);
    assert!(lines(path).iter().all(|line| line["from"] == *url));
}
