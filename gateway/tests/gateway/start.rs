//! The gateway's output when it starts, and the settings that it rejects.

use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::{
    process::{Gateway, command},
    program::{Program, chat},
    stand_in,
};
use testing::PATIENCE;

#[tokio::test]
async fn what_cannot_work_is_said() {
    for (args, token, said) in [
        (&["--listen", "0.0.0.0:0"][..], "", "GATEWAY_TOKENS=TOKEN"),
        (&["--listen", "nowhere"][..], "", "127.0.0.1:8018"),
        (
            &["--base-url", "example.com"][..],
            "",
            "write it as https://",
        ),
        (
            &["--base-url", "http://a:b@example.com"][..],
            "",
            "without a login",
        ),
        (
            &["--base-url", "https://example.com/v1"][..],
            "",
            "TOGETHER_API_KEY",
        ),
        (&["--limit", "chat=1"][..], "", "chat-completions"),
        (&["--limit", "images=0"][..], "", "at least 1"),
        (&["--max-wait", "0"][..], "", "a number of seconds"),
        (&["--body-memory", "0"][..], "", "from 1 to"),
        (&["--demo"][..], "tom", "unset GATEWAY_TOKENS"),
        // An empty variable is not an unset one: it was meant to restrict access.
        (&[][..], " , ", "holds no token"),
    ] {
        let mut command = command(args);
        if !token.is_empty() {
            command.env("GATEWAY_TOKENS", token);
        }
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
    let taken = Gateway::start(&[]).await;
    let address = taken.url().trim_start_matches("http://").to_owned();
    let output = command(&["--listen", &address]).output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--listen 127.0.0.1:0"), "{stderr}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_variable_that_is_no_text_is_not_as_if_unset() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    for name in ["GATEWAY_TOKENS", "TOGETHER_API_KEY"] {
        let mut command = command(&[]);
        command.env(name, OsStr::from_bytes(b"se\xffcret"));
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&format!("{name} is set and is no text")),
            "{said}"
        );
        assert!(!said.contains("cret"), "{said}");
    }
}

/// The commands that it suggests work: the address is reachable, and a token is included if one is required.
#[tokio::test]
async fn what_it_says_to_try_works_with_tokens_and_from_everywhere() {
    let env = [("GATEWAY_TOKENS", "tom")];
    let mut gateway = Gateway::start_with(&["--listen", "0.0.0.0:0"], &env).await;
    assert!(gateway.url().starts_with("http://0.0.0.0:"));
    let port = gateway.url().rsplit(':').next().unwrap().to_owned();
    let lanes = gateway.lanes().await;
    assert_eq!(lanes["tokens"], true);
    let said = gateway.stop().await;
    let here = format!("http://127.0.0.1:{port}/");
    assert!(said.contains(&format!("the page: {here}\n")), "{said}");
    let curl = format!("curl -N {here}v1/chat/completions -H 'authorization: Bearer TOKEN'");
    assert!(said.contains(&curl), "{said}");
    assert!(!said.contains("tom"), "{said}");

    let mut open = Gateway::start(&[]).await;
    assert_eq!(open.lanes().await["tokens"], false);
    assert!(!open.stop().await.contains("TOKEN'"));
}

#[tokio::test]
async fn a_key_that_goes_out_unencrypted_is_warned_of() {
    let server = stand_in().await;
    let key = ("TOGETHER_API_KEY", "tgp_v1_the-gateways-own-key");
    for (base, env, warned) in [
        ("http://api.example/v1", &[key][..], true),
        ("https://api.example/v1", &[key], false),
        (server.url().as_str(), &[key], false),
        ("http://localhost:1/v1", &[], false),
    ] {
        let mut gateway = Gateway::start_with(&["--base-url", base], env).await;
        // It has written all lines when it responds.
        Program::new("").send(gateway.get("/lanes")).await;
        let said = gateway.stop().await;
        assert_eq!(said.contains("unencrypted"), warned, "{base}: {said}");
    }
}

/// A file of options, which lives as long as this value.
fn config(name: &str, text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(name).tempfile().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_file_sets_what_the_command_line_does_and_names_programs() {
    let server = stand_in().await;
    let file = format!(
        "base-url = \"{}\"\nmax-streams = 9\nlog = \"json\"\nmax-wait = 2.5\nexempt = [\"free\"]\n\
         [limit]\nembeddings = 60\n\
         \"chat-completions/big/model\" = [7, \"5000tokens\"]\nimages = \"none\"\n\
         [tokens]\ntom = \"a-secret\"\n",
        server.url()
    );
    let path = config("options.toml", &file);
    let flags = [
        "--config",
        path.path().to_str().unwrap(),
        "--max-streams",
        "5",
    ];
    let mut gateway = Gateway::start(&flags).await;
    let unknown = Program::new("").send(gateway.get("/v1/models")).await;
    assert_eq!(unknown.status, 401);
    let tom = Program::new("a-secret");
    for model in ["big/model", "small", "free"] {
        let response = tom.send(gateway.post(chat(model))).await;
        assert_eq!(response.status, 200, "{model}");
    }
    let lanes = gateway.lanes().await;
    let limits = |model| {
        let limits = lanes.of("chat-completions", Some(model))["limits"].clone();
        let limits = limits.as_array().unwrap().clone();
        let max = |counts: &str| {
            let own = limits.iter().filter(move |limit| limit["counts"] == counts);
            own.map(|limit| limit["max"].as_u64().unwrap()).min()
        };
        (max("requests"), max("tokens"), max("in-flight"))
    };
    assert_eq!(limits("big/model"), (Some(7), Some(5_000), Some(5)));
    assert_eq!(limits("small"), (Some(600), None, Some(5)));
    assert_eq!(limits("free"), (None, None, None));
    assert_eq!(lanes["programs"]["tom"]["sent"], 3);
    let metrics = Program::new("").send(gateway.get("/metrics")).await;
    let sent = "together_gateway_program_sent_total{program=\"tom\"} 3\n";
    assert!(metrics.text().contains(sent), "{}", metrics.text());
    let log = gateway.stop().await;
    assert!(log.contains(r#""program":"tom""#), "{log}");
    assert!(!log.contains("a-secret"), "{log}");
}

#[tokio::test]
async fn the_image_does_not_start_without_tokens_and_a_key() {
    let mut lines = include_str!("../../Dockerfile").lines();
    let entry = lines.find_map(|line| line.strip_prefix("ENTRYPOINT "));
    let entry: Vec<&str> = serde_json::from_str(entry.unwrap()).unwrap();
    assert_eq!(entry[0], "/usr/local/bin/together-gateway");
    for (tokens, said) in [
        (None, "set GATEWAY_TOKENS"),
        (Some("tom=a-token"), "put it in TOGETHER_API_KEY"),
    ] {
        let mut command = command(&entry[1..]);
        command.envs(tokens.map(|tokens| ("GATEWAY_TOKENS", tokens)));
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[tokio::test]
async fn the_file_in_the_readme_is_read() {
    let (_, rest) = include_str!("../../README.md")
        .split_once("```toml\n")
        .unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let path = config("readme.toml", text);
    let file = path.path().to_str().unwrap();
    let gateway = Gateway::start(&["--config", file, "--listen", "127.0.0.1:0"]).await;
    let response = Program::new("TOKEN").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, 200);
    assert_eq!(gateway.lanes().await["programs"]["tom"]["sent"], 1);
}

#[tokio::test]
async fn a_file_with_a_mistake_is_rejected_with_its_line() {
    for (text, line, said) in [
        ("max-wait = 1\nmax-streams = \"many\"", 2, "max-streams"),
        ("\n\nmax_wait = 1", 3, "max_wait"),
        ("[limit]\nimages = 1\nchat = 5", 3, "chat-completions"),
        ("[limit]\nimages = 0", 2, "at least 1"),
        ("[limit]\n\"images/m\" = \"none\"", 2, "--exempt"),
        ("max-wait = ", 1, ""),
        ("[tokens]\ntom = \"\"", 2, "a token in quotes"),
        ("listen = [1", 1, ""),
        ("config = \"a\"", 1, "options here"),
    ] {
        let path = config("mistake.toml", text);
        let output = command(&["--config", path.path().to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let place = format!("mistake.toml, line {line}: ");
        assert!(stderr.contains(&place), "{text}: {stderr}");
        assert!(stderr.contains(said), "{text}: {stderr}");
    }
    let output = command(&["--config", "/nowhere.toml"]).output().await;
    let stderr = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(stderr.contains("/nowhere.toml: "), "{stderr}");
}

#[tokio::test]
async fn limits_hold_for_models_and_tokens_and_can_be_lifted() {
    let server = stand_in().await;
    let flags = [
        "--limit",
        "chat-completions/a/slow=1=1",
        "--limit",
        "images=none",
        "--limit",
        "embeddings=100tokens",
        "--max-wait",
        "5",
    ];
    let gateway = Gateway::before(&server.url(), &flags).await;
    let tom = Program::new("tom");
    let slow = || gateway.post(chat("a/slow=1"));
    assert_eq!(tom.send(slow()).await.status, 200);
    assert_eq!(tom.send(slow()).await.status, 429);
    assert_eq!(tom.send(gateway.post(chat("fast"))).await.status, 200);
    let long = serde_json::json!({"model": "e", "input": "word ".repeat(400)}).to_string();
    tom.send(gateway.post_to("/v1/embeddings", long.clone()))
        .await;
    let second = tom.send(gateway.post_to("/v1/embeddings", long)).await;
    assert!(second.status.is_client_error(), "{second:?}");
}
