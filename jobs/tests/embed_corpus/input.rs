//! Inputs that are read, and those that are not.

use std::{io::Write, os::unix::fs::symlink};

use super::*;

/// 1,917 of 4,508 files were passed over without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_is_counted_and_named() {
    let folder = folder("skipped");
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("good.txt", b"a good text");
    write("latin.txt", b"caf\xe9");
    write("utf16.txt", b"\xff\xfet\0e\0x\0t\0");
    write("target/notes.txt", b"a folder that is called target");
    write(
        "built/CACHEDIR.TAG",
        b"Signature: 8a477f597d28d172789f06886806bc55",
    );
    write("built/debug/notes.txt", b"what a build made");
    write(".git/HEAD", b"ref: refs/heads/main");
    symlink(folder.join("good.txt"), folder.join("link.txt")).unwrap();
    let (_server, url) = stand_in(Rules::none()).await;
    let ended = run(&folder, &["--base-url", &url, "."]);
    assert_eq!((ended.code, ended.counts()[0]), (Some(0), 2), "{ended:?}");
    let line = ended
        .stderr
        .lines()
        .find(|line| line.starts_with("skipped: "))
        .unwrap();
    for said in [
        "2 not UTF-8 text (./latin.txt, ./utf16.txt)",
        "1 links (./link.txt)",
        "1 hidden (./.git)",
        "1 caches (./built)",
    ] {
        assert!(line.contains(said), "{line}");
    }
}

/// A file that root cannot read either.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_unreadable_file_does_not_end_the_run() {
    let folder = folder("unreadable");
    fs::write(folder.join("b.txt"), "a text").unwrap();
    let (_server, url) = stand_in(Rules::none()).await;
    let ended = run(&folder, &["--base-url", &url, "/proc/self/mem", "b.txt"]);
    assert_eq!((ended.code, ended.counts()[0]), (Some(0), 1), "{ended:?}");
    assert!(
        ended.stderr.contains("1 unreadable (/proc/self/mem)"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dash_is_standard_input_which_is_embedded_as_it_comes() {
    let folder = folder("dash");
    let (server, url) = stand_in(Rules::none()).await;
    let mut command = example(&folder, &["--base-url", &url, "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(numbered(2).as_bytes()).unwrap();
    until("a request has come", async || server.stats().arrived >= 1).await;
    input.write_all("end ".repeat(60).as_bytes()).unwrap();
    drop(input);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.counts()[0]), (Some(0), 41), "{ended:?}");
    let lines = lines(folder.join("embeddings.jsonl"));
    assert!(lines.iter().all(|line| line["source"] == "standard input"));
}

/// White space was no part of a word, and so had no bound.
#[tokio::test(flavor = "multi_thread")]
async fn white_space_makes_no_long_passage() {
    let folder = folder("space");
    let text = format!("one{}two{}", " ".repeat(1_000_000), "\n".repeat(1_000_000));
    fs::write(folder.join("space.txt"), text.repeat(3)).unwrap();
    let (_server, url) = stand_in(Rules::none()).await;
    let ended = run(&folder, &["--base-url", &url, "."]);
    assert_eq!(ended.counts(), [1, 1, 0, 0]);
    let lines = lines(folder.join("embeddings.jsonl"));
    assert!(lines[0]["text"].as_str().unwrap().len() < 200);
}

/// The output was replaced, whatever it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_no_regular_file_is_written_through_or_rejected() {
    let folder = folder("special");
    fs::write(folder.join("a.txt"), "a text").unwrap();
    let (_server, url) = stand_in(Rules::none()).await;
    symlink("real.jsonl", folder.join("link.jsonl")).unwrap();
    let ended = run(
        &folder,
        &["--base-url", &url, "--output", "link.jsonl", "a.txt"],
    );
    assert_eq!(ended.code, Some(0));
    assert!(folder.join("link.jsonl").is_symlink());
    assert_eq!(lines(folder.join("real.jsonl")).len(), 1);
    let made = Command::new("mkfifo")
        .arg(folder.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    for output in ["pipe", "/dev/null", "."] {
        let args = ["--base-url", &url, "--output", output, "a.txt"];
        let ended = example(&folder, &args).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{output}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(
            said.contains(&format!("{output}: not a regular file")),
            "{said}"
        );
    }
}

/// The environment's proxies were not asked.
#[tokio::test(flavor = "multi_thread")]
async fn requests_go_through_the_proxy_that_the_environment_names() {
    let folder = folder("proxy");
    fs::write(folder.join("a.txt"), "a text").unwrap();
    let (_proxy, seen, url) = server::proxy().await;
    for (base, asked) in [
        (
            "http://api.example/v1",
            "POST http://api.example/v1/embeddings Basic dTpw",
        ),
        (
            "https://api.example/v1",
            "CONNECT api.example:443 Basic dTpw",
        ),
    ] {
        let proxy = url.replace("http://", "http://u:p@");
        let mut command = example(&folder, &["--base-url", base, "--restart", "a.txt"]);
        command
            .env("TOGETHER_API_KEY", "a-key")
            .env("all_proxy", proxy);
        let ended = end(command).await;
        assert_eq!(seen.lock().unwrap()[0], asked, "{ended:?}");
        seen.lock().unwrap().clear();
    }
    let (_server, url) = stand_in(Rules::none()).await;
    let mut command = example(&folder, &["--base-url", &url, "--restart", "a.txt"]);
    command.env("all_proxy", "http://127.0.0.1:1");
    assert_eq!(
        end(command).await.code,
        Some(0),
        "this computer needs no proxy"
    );
}

/// Words that are all different, so many bytes of them.
#[cfg(target_os = "linux")]
fn numbers(bytes: usize) -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < bytes {
        text += &format!("{number} ");
        number += 1;
    }
    text
}

/// The whole corpus was in memory, and its passages beside it: 1.97 GB of 954 MB.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_corpus() {
    let folder = folder("memory");
    let (server, url) = stand_in(Rules::none()).await;
    let none = Answer::reset().delay(Duration::from_secs(3_600));
    server.script("POST", "/embeddings", none.times(1_000));
    let mut peaks = Vec::new();
    for megabytes in [1, 40] {
        // In a line without an end.
        fs::write(folder.join("a.txt"), numbers(megabytes << 20)).unwrap();
        let before = server.stats().arrived;
        let mut run = spawn(example(
            &folder,
            &["--base-url", &url, "--concurrency", "4", "."],
        ));
        until("it has sent", async || server.stats().arrived >= before + 4).await;
        let status = fs::read_to_string(format!("/proc/{}/status", run.id().unwrap())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peaks.push(peak.trim_end_matches("kB").trim().parse::<u64>().unwrap());
        run.kill().await.unwrap();
    }
    assert!(peaks[1] < peaks[0] + 4_096, "{peaks:?} kB");
}
