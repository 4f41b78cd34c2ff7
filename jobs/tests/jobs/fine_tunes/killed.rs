//! A program that is killed, and started again.

use std::{env, fs, path::PathBuf, process::Stdio, time::Duration};

use together_standin::{Fate, JobKind, Jobs, StandIn};
use tokio::{process::Command, time::sleep};

use super::{created, journal};
use crate::arrivals::until;

#[tokio::test(flavor = "multi_thread")]
async fn killed_twice_and_started_again_none_is_lost_and_none_doubled() {
    kill(6, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./check --all runs it"]
async fn killed_at_any_moment_and_started_again_none_of_fifty_is_lost_and_none_doubled() {
    kill(50, 12).await;
}

/// A program that wants `count` fine-tunes, killed `times` times.
async fn kill(count: usize, times: usize) {
    use Fate::{Cancelled, Completes, Fails, UserError};
    let delay = Duration::from_millis(60);
    let jobs = Jobs::default()
        .fine_tune_time(Duration::from_millis(400))
        .create_delays(delay, delay)
        .fates([Cancelled, Fails, Completes, UserError]);
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let journal = journal(&count.to_string());
    let run = || {
        Command::new(program())
            .args(["--base-url", &format!("{}/v1", server.url())])
            .args(["--run", "s", "--count", &count.to_string()])
            .arg("--journal")
            .arg(&journal)
            .env_remove("TOGETHER_API_KEY")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the example fine_tunes, built")
    };
    for killed in 0..times {
        // Between its first request and a third of a second after a create. More jobs are left than
        // may run at once, so it cannot have ended.
        let requests = server.stats().arrived + 1 + killed as u64 % 5;
        let created = count * killed / (times + 1);
        let mut child = run();
        until("it is time", || {
            server.stats().arrived >= requests && server.jobs().len() >= created
        })
        .await;
        sleep(Duration::from_millis(37 * killed as u64 % 300)).await;
        child.kill().await.unwrap();
        // A create that has arrived takes effect while the next program settles.
        until("all it has sent has arrived", || server.connections() == 0).await;
    }
    // All have ended, and some of them failed.
    assert_eq!(run().wait().await.unwrap().code(), Some(1));
    let created = created(&server);
    assert!(
        created.len() == count && created.values().all(|times| *times == 1),
        "{created:?}"
    );
    assert!(server.max_concurrent_jobs(JobKind::FineTune) <= 3);
    fs::remove_file(journal).unwrap();
}

/// Built beside the tests.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let target = tests.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("examples").join("fine_tunes")
}
