//! Later runs with the same journal.

use std::{env, fs, path::PathBuf};

use super::*;

fn journal(test: &str) -> PathBuf {
    let name = format!("batches-{test}-{}.journal", std::process::id());
    let path = env::temp_dir().join(name);
    let _ = fs::remove_file(&path);
    path
}

/// Takes so many outcomes of 40 requests in batches of 10, and then drops the run, as a kill would.
async fn take(server: &StandIn, journal: &PathBuf, outcomes: usize) -> Vec<Outcome> {
    let api = api(server, TogetherLayer::default(), client());
    let batches = Batches::new(api).with_size(NonZeroUsize::new(10).unwrap());
    let batches = batches.with_journal(journal).unwrap();
    let run = batches.run((100..140).map(request).collect::<Vec<_>>());
    pin!(run).take(outcomes).collect().await
}

/// A run that was dropped had its requests sent again, and paid for twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_run_reads_the_batches_of_one_that_was_dropped() {
    let journal = journal("dropped");
    let fates = [
        Fate::Completes,
        Fate::Completes,
        Fate::Completes,
        Fate::Fails,
    ];
    let server = server(Jobs::default().fates(fates)).await;
    // The first batch's last outcome may not have been stored: the run was not asked for the next one.
    assert_eq!(take(&server, &journal, 10).await.len(), 10);
    until("all were created", || creates_at(&server, "/batches") == 4).await;

    let again = take(&server, &journal, 41).await;
    assert!(again.iter().map(|outcome| outcome.index).eq(0..40));
    // One batch of ten has failed, whichever was created last.
    let failed = missing(again).into_iter();
    let ended = failed.filter(|(_, reason)| matches!(reason, Reason::Ended { .. }));
    assert_eq!(ended.count(), 10);
    assert_eq!(creates_at(&server, "/batches"), 4);

    // All outcomes have been taken: what is asked for now is asked for anew.
    assert_eq!(take(&server, &journal, 41).await.len(), 40);
    assert_eq!(creates_at(&server, "/batches"), 8);
    fs::remove_file(journal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_create_had_no_response_when_the_run_ended_is_found_by_its_file() {
    let journal = journal("found");
    let server = server(Jobs::default().create_delays(2 * TICK, 2_000 * TICK)).await;
    let run = take(&server, &journal, 1);
    let created = until("all are created", || server.jobs().len() == 4);
    tokio::select! {
        outcomes = run => panic!("{outcomes:?}"),
        () = created => {}
    }
    let again = take(&server, &journal, 41).await;
    assert_eq!(
        again
            .iter()
            .filter(|outcome| outcome.result.is_ok())
            .count(),
        39
    );
    assert_eq!(server.jobs().len(), 4);
    fs::remove_file(journal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_may_have_been_sent_is_not_retried() {
    let journal = journal("sent");
    let server = server(Jobs::default()).await;
    server.script(
        "POST",
        "/batches",
        Answer::status(201).delay(2_000 * TICK).times(4),
    );
    let run = take(&server, &journal, 1);
    let arrived = until("all have arrived", || creates_at(&server, "/batches") == 4);
    tokio::select! {
        outcomes = run => panic!("{outcomes:?}"),
        () = arrived => {}
    }
    for (_, reason) in missing(take(&server, &journal, 41).await) {
        assert!(matches!(reason, Reason::MayExist { .. }), "{reason:?}");
        assert!(reason.may_be_done());
    }
    assert_eq!(creates_at(&server, "/batches"), 4);
    fs::remove_file(journal).unwrap();
}

/// A run that ended at the first rejected create had all others looked for by the run after it, and none sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_not_created_is_created_by_a_later_run() {
    let journal = journal("not-created");
    for status in [402, 422] {
        let server = server(Jobs::default()).await;
        let rejected = Answer::status(status).times(9);
        server.script("POST", "/batches", rejected);
        // The last of four batches is not asked for its second outcome.
        for (_, reason) in missing(take(&server, &journal, 31).await) {
            assert!(matches!(reason, Reason::NotCreated(_)), "{reason:?}");
        }
    }
    let server = server(Jobs::default()).await;
    let again = take(&server, &journal, 41).await;
    // One request names no model.
    assert_eq!(missing(again).len(), 1);
    assert_eq!(server.jobs().len(), 4);
    fs::remove_file(journal).unwrap();
}

/// A later run with a wrong key, or while the server was away for an hour, forgot the batches, and the run after it
/// paid for them again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_read_is_read_by_a_later_run() {
    let journal = journal("unread");
    let server = server(Jobs::default()).await;
    assert_eq!(take(&server, &journal, 1).await.len(), 1);
    until("all were created", || creates_at(&server, "/batches") == 4).await;
    for job in server.jobs() {
        let path = format!("/batches/{}", job.id);
        server.script("GET", &path, Answer::status(401));
    }
    let lost = missing(take(&server, &journal, 41).await);
    assert_eq!(lost.len(), 40);
    for (_, reason) in lost {
        assert!(matches!(reason, Reason::Lost { .. }), "{reason:?}");
    }
    let again = take(&server, &journal, 41).await;
    assert_eq!(missing(again).len(), 1);
    assert_eq!(creates_at(&server, "/batches"), 4);
    fs::remove_file(journal).unwrap();
}

#[tokio::test]
async fn a_second_run_with_the_journal_is_rejected() {
    let journal = journal("locked");
    let server = server(Jobs::default()).await;
    let batches = || Batches::new(api(&server, TogetherLayer::default(), client()));
    let first = batches().with_journal(&journal).unwrap();
    let second = batches().with_journal(&journal).unwrap_err();
    assert!(
        second.to_string().contains("another run is writing it"),
        "{second}"
    );
    drop(first);
    assert!(batches().with_journal(&journal).is_ok());
    fs::remove_file(journal).unwrap();
}
