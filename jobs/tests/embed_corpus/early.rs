//! Failures that end a run early, or are tried again.

use super::*;

/// A folder with a numbered text.
fn folder_with_text(test: &str, requests: usize) -> PathBuf {
    let folder = folder(test);
    fs::write(folder.join("book.txt"), numbered(requests)).unwrap();
    folder
}

/// All requests were sent, failed, and counted as done: 300 of 804 texts stayed without vectors for good.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_concerns_all_ends_the_run_and_the_same_command_continues() {
    for (status, error, said) in [
        (
            402,
            json!({"message": "Credit limit exceeded"}),
            "402 Payment Required",
        ),
        (
            401,
            json!({"message": "Invalid API key"}),
            "401 Unauthorized",
        ),
        (
            404,
            json!({"message": "model x not found", "code": "model_not_found"}),
            "404 Not Found",
        ),
        (
            400,
            json!({"message": "Unable to access model x"}),
            "Unable to access model x",
        ),
    ] {
        let folder = folder_with_text(&format!("early-{status}"), 24);
        let server = server::Denying::start(status, error).await;
        let run = || run(&folder, &["--base-url", &server.url, "."]);
        let ended = run();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(server.arrived() < 20, "it ends early: {ended:?}");
        assert!(ended.stderr.contains("ended early"), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
        assert!(
            ended.stderr.contains("the same command continues"),
            "{ended:?}"
        );
        let path = folder.join("embeddings.jsonl");
        let there = lines(path.clone()).len();
        assert_eq!(there, 20);
        // The money is there again.
        server.relent();
        let ended = run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.counts()[0] as usize, 480 - there);
        assert_eq!(lines(path).len(), 480);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_text_fails_alone_and_is_retried() {
    let folder = folder_with_text("bad-text", 3);
    let output = folder.join("embeddings.jsonl");
    let (server, url) = server::rejecting("1200 ").await;
    let run = || run(&folder, &["--base-url", &url, "."]);
    let ended = run();
    assert_eq!(ended.code, Some(1));
    let [embedded, _, failed, _] = ended.counts();
    assert_eq!((embedded, failed), (59, 1), "{ended:?}");
    assert!(
        ended.stderr.contains("a bad text (./book.txt)"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("the same command retries"),
        "{ended:?}"
    );
    assert_eq!(lines(output.clone()).len(), 59);
    let ended = run();
    assert_eq!(ended.counts(), [0, 1, 1, 0]);
    drop(server);
    assert_eq!(lines(output).len(), 59);
}

/// The id of the request made each failure another: 315 lines.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_grouped_by_their_reason() {
    let folder = folder_with_text("grouped", 50);
    let (server, url) = stand_in(Rules::none()).await;
    for number in 0..50 {
        let response = Answer::status(501).header("x-request-id", format!("o{number}"));
        server.script("POST", "/embeddings", response);
    }
    let ended = run(&folder, &["--base-url", &url, "."]);
    assert_eq!(ended.counts(), [0, 50, 1_000, 0]);
    let failed: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| line.contains("failed"))
        .collect();
    assert!(
        failed
            .iter()
            .any(|line| line.starts_with("1000 texts failed: 501 Not Implemented")),
        "{ended:?}"
    );
    assert!(failed.len() <= 3, "{ended:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_at_once_while_the_server_is_silent() {
    let folder = folder_with_text("silent", 3);
    let (server, url) = stand_in(Rules::none()).await;
    let none = Answer::reset().delay(Duration::from_secs(3_600));
    server.script("POST", "/embeddings", none.times(100));
    let mut command = example(&folder, &["--base-url", &url, "."]);
    let said = folder.join("said");
    command.stderr(fs::File::create(&said).unwrap());
    let mut run = spawn(command);
    until("it has sent", async || server.stats().arrived >= 3).await;
    let pid = run.id().unwrap().to_string();
    let interrupt = || Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let has = |what: &'static str| {
        let said = &said;
        async move || fs::read_to_string(said).unwrap().contains(what)
    };
    // Nothing has come for ten seconds, and a line says so.
    until("a line tells of progress", has("\n0 of 60 texts")).await;
    assert!(interrupt().success());
    until("it is said at once", has("Ctrl-C again stops at once")).await;
    assert!(
        run.try_wait().unwrap().is_none(),
        "what was sent may have a response"
    );
    assert!(interrupt().success());
    let ended = timeout(PATIENCE, run.wait())
        .await
        .expect("it stops")
        .unwrap();
    assert_eq!(ended.code(), Some(130));
}

/// A terminal that takes only lines, as in an editor, showed nothing. `script` makes one.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_is_shown_lines_and_another_one_a_bar() {
    let folder = folder_with_text("dumb", 3);
    let (server, url) = stand_in(Rules::none()).await;
    for (term, bar, line) in [("dumb", false, true), ("xterm", true, false)] {
        let none = Answer::reset().delay(Duration::from_secs(3_600));
        server.script("POST", "/embeddings", none.times(100));
        let program = example(&folder, &[]).get_program().to_owned();
        let command = format!(
            "{} --base-url {url} --output {term}.jsonl book.txt",
            program.to_str().unwrap()
        );
        let said = folder.join(term);
        let mut script = tokio::process::Command::new("script");
        script
            .args(["-qefc", &command])
            .arg(&said)
            .env("TERM", term);
        script
            .env_remove("TOGETHER_API_KEY")
            .current_dir(&folder)
            .kill_on_drop(true);
        let _run = script
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("it is shown how far the run is", async || {
            let said = fs::read_to_string(&said).unwrap_or_default();
            said.contains("0 of 60 texts")
        })
        .await;
        let said = fs::read_to_string(&said).unwrap();
        assert_eq!(said.contains('━') || said.contains('─'), bar, "{said}");
        assert_eq!(said.contains("\n0 of 60 texts"), line, "{said}");
    }
}

/// Each request of a corpus was tried five times, however many there were.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_ends_the_run_after_the_first_requests() {
    let folder = folder_with_text("not-there", 200);
    let (server, url) = stand_in(Rules::none()).await;
    drop(server);
    let ended = run(&folder, &["--base-url", &url, "."]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("ended early"), "{ended:?}");
    assert!(ended.stderr.contains("refused"), "{ended:?}");
    assert!(ended.counts()[2] < 64 * 20, "{ended:?}");
}
