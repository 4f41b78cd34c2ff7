//! What it says when it starts, and what it refuses to start with.

use crate::{
    process::{Gateway, command},
    program::Program,
    stand_in,
};

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
        // Set to nothing is not unset: somebody wanted a door that is shut.
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

/// What is shown to be tried can be tried: where it is reached, and with a token where one is wanted.
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
        // It has said all when it answers.
        Program::new("").send(gateway.get("/lanes")).await;
        let said = gateway.stop().await;
        assert_eq!(said.contains("unencrypted"), warned, "{base}: {said}");
    }
}
