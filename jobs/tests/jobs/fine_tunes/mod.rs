//! Fine-tunes, each created once: over real sockets, and in virtual time how often the server is asked.

mod killed;
mod looks;

use std::{collections::HashMap, env, fs, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use together_standin::{Answer, Fate, JobKind, Jobs, StandIn};
use tokio::select;
use tower::Layer;
use tower_together::{Limiter, Limits, TogetherLayer};
use tower_together_jobs::{FineTune, FineTunes, JobsApi, Untrained};

use crate::arrivals::{creates_at, giving_up, until};

/// From one look at a fine-tune to the next. All else may take as long as it likes.
const TICK: Duration = Duration::from_millis(5);

async fn run(server: &StandIn, wanted: Vec<Value>) -> Vec<FineTune> {
    run_under(Limiter::default(), server, wanted).await
}

async fn run_under(limiter: Limiter, server: &StandIn, wanted: Vec<Value>) -> Vec<FineTune> {
    let tunes = tunes(limiter, server, client());
    pin!(tunes.run(wanted)).collect().await
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn tunes<S: Clone>(
    limiter: Limiter,
    server: &StandIn,
    client: S,
) -> FineTunes<<TogetherLayer as Layer<S>>::Service> {
    let client = TogetherLayer::from(limiter.clone()).layer(client);
    FineTunes::new(api(server, client), limiter).with_settle(2 * TICK)
}

fn api<S>(server: &StandIn, service: S) -> JobsApi<S> {
    let api = JobsApi::new(service).with_base(&format!("{}/v1", server.url()));
    api.unwrap().with_key("key").unwrap().with_interval(TICK)
}

/// A file for the key of these tests.
async fn file(server: &StandIn) -> String {
    let form = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}\r\n\
                --cut--\r\n";
    let request = api(server, ())
        .request(http::Method::POST, "files/upload")
        .header("content-type", "multipart/form-data; boundary=cut")
        .body(Full::<Bytes>::from(form));
    let response = client().request(request.unwrap()).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    let file: Value = serde_json::from_slice(&body.unwrap().to_bytes()).unwrap();
    file["id"].as_str().unwrap().to_owned()
}

fn wanted(file: &str, count: usize) -> Vec<Value> {
    let one =
        |number| json!({"model": "m", "training_file": file, "suffix": format!("s-{number}")});
    (0..count).map(one).collect()
}

/// How often each was created, but for what the server began again of itself.
fn created(server: &StandIn) -> HashMap<String, usize> {
    let mut created = HashMap::new();
    for job in server.jobs().into_iter().filter(|job| !job.restarted) {
        *created.entry(job.suffix.unwrap()).or_default() += 1;
    }
    created
}

#[tokio::test]
async fn fifty_from_eight_tasks_three_at_a_time_whatever_becomes_of_them() {
    use Fate::{Cancelled, Completes, Fails, UserError, Vanishes};
    let jobs = Jobs::default().fine_tune_time(6 * TICK).page(7).fates([
        Completes, Vanishes, Completes, Fails, Completes, Cancelled, Completes, UserError,
    ]);
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let file = file(&server).await;
    server.script("POST", "/fine-tunes", Answer::reset());
    server.script("GET", "/fine-tunes", Answer::status(502).times(2));
    let (wanted, limiter) = (wanted(&file, 50), Limiter::default());
    let tasks = (0..8).map(|task| {
        let own = wanted.iter().skip(task).step_by(8).cloned().collect();
        run_under(limiter.clone(), &server, own)
    });
    let outcomes = join_all(tasks).await.concat();
    // The create that was reset is not repeated: started again, the program finds no job, and creates it.
    let lost = |tune: &FineTune| matches!(tune.result, Err(Untrained::MayExist(_)));
    let (again, mut outcomes): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(lost);
    assert_eq!(again.len(), 1);
    let again = again.into_iter().map(|tune| tune.request).collect();
    outcomes.extend(run_under(limiter, &server, again).await);
    assert_eq!(outcomes.len(), 50);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for outcome in &outcomes {
        let how = match &outcome.result {
            Ok(job) => {
                assert_eq!(job["suffix"], outcome.request["suffix"]);
                "completed"
            }
            Err(Untrained::Ended { status, .. }) => status,
            Err(other) => panic!("{other}"),
        };
        *counts.entry(how.to_owned()).or_default() += 1;
    }
    let created = created(&server);
    assert!(
        created.len() == 50 && created.values().all(|times| *times == 1),
        "{created:?}"
    );
    let ended = [
        ("completed", 25),
        ("gone", 7),
        ("error", 6),
        ("cancelled", 6),
        ("user_error", 6),
    ];
    assert_eq!(
        counts,
        ended.map(|(how, count)| (how.to_owned(), count)).into()
    );
    assert!(server.max_concurrent_jobs(JobKind::FineTune) <= 3);
}

#[tokio::test]
async fn three_run_at_a_time_and_the_others_wait() {
    let server = StandIn::start().await.unwrap();
    let file = file(&server).await;
    let limiter = Limiter::default();
    let waiting = || (server.jobs().len(), limiter.snapshot().waiting) == (3, 2);
    select! {
        ended = run_under(limiter.clone(), &server, wanted(&file, 5)) => panic!("{ended:?}"),
        () = until("two wait for three", waiting) => {}
    }
}

/// The first run ends as a killed program does: once its job is looked at, which then vanishes.
#[tokio::test]
async fn a_job_that_is_in_no_list_is_known_by_the_journal() {
    let jobs = Jobs::default().fine_tune_time(4 * TICK);
    let server = StandIn::builder().jobs(jobs.fates([Fate::Vanishes]));
    let server = server.start().await.unwrap();
    let (file, journal) = (file(&server).await, journal("gone"));
    let run = || {
        let tunes = tunes(Limiter::default(), &server, client()).with_journal(&journal);
        let run = tunes.unwrap().run(wanted(&file, 1));
        async move { pin!(run).collect::<Vec<_>>().await }
    };
    let is_looked_at = || {
        let paths = server.stats().others;
        paths
            .keys()
            .any(|path| path.starts_with("GET /fine-tunes/"))
    };
    select! {
        _ = run() => {}
        () = until("it is looked at", is_looked_at) => {}
    }
    until("it is gone", || server.jobs()[0].status == "vanished").await;
    let again = run().await;
    let Err(Untrained::Ended { status, .. }) = &again[0].result else {
        panic!("{again:?}");
    };
    assert_eq!((&**status, server.jobs().len()), ("gone", 1));
    fs::remove_file(journal).unwrap();
}

#[tokio::test]
async fn what_the_server_begins_again_under_another_id_is_followed() {
    let jobs = Jobs::default().fine_tune_time(6 * TICK);
    let jobs = jobs.fates([Fate::Restarts, Fate::Completes, Fate::Fails]);
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let file = file(&server).await;
    let outcomes = run(&server, wanted(&file, 9)).await;
    let completed = outcomes.iter().filter_map(|tune| tune.result.as_ref().ok());
    let ids: Vec<_> = completed.map(|job| job["id"].as_str().unwrap()).collect();
    let jobs = server.jobs();
    let restarted = jobs.iter().filter(|job| job.restarted);
    assert_eq!(
        (jobs.len(), restarted.clone().count(), ids.len()),
        (12, 3, 6)
    );
    assert!(restarted.into_iter().all(|job| ids.contains(&&*job.id)));
    assert!(created(&server).values().all(|times| *times == 1));
}

#[tokio::test]
async fn what_is_there_is_not_created_again_and_a_suffix_is_asked_for() {
    let jobs = Jobs::default().fine_tune_time(4 * TICK);
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let file = file(&server).await;
    run(&server, wanted(&file, 3)).await;
    let again = run(&server, wanted(&file, 4)).await;
    assert!(again.iter().all(|tune| tune.result.is_ok()));
    assert_eq!(server.jobs().len(), 4);
    let mut bad = wanted(&file, 2);
    bad[0]["suffix"] = Value::Null;
    bad.push(bad[1].clone());
    let mut rejected = run(&server, bad).await;
    rejected.sort_by_key(|tune| tune.index);
    for index in [0, 2] {
        assert!(matches!(rejected[index].result, Err(Untrained::NoSuffix)));
    }
    server.script("GET", "/fine-tunes", Answer::status(401));
    let rejected = run(&server, wanted(&file, 9)).await;
    assert!(
        rejected
            .iter()
            .all(|tune| matches!(tune.result, Err(Untrained::NotCreated(_))))
    );
    assert_eq!(server.jobs().len(), 4);
}

#[tokio::test]
async fn a_server_that_never_creates_one_is_given_up_and_a_wrong_address_is_told_at_once() {
    let server = StandIn::start().await.unwrap();
    let file = file(&server).await;
    server.script("POST", "/fine-tunes", Answer::status(500));
    let rejected = run(&server, wanted(&file, 1)).await;
    assert!(
        matches!(rejected[0].result, Err(Untrained::MayExist(_))),
        "{rejected:?}"
    );
    assert!(server.jobs().is_empty());
    server.script("GET", "/fine-tunes", Answer::status(200).body("<html>"));
    let rejected = run(&server, wanted(&file, 1)).await;
    let Err(Untrained::NotCreated(why)) = &rejected[0].result else {
        panic!("{rejected:?}");
    };
    assert!(why.contains("ends with /v1"), "{why}");
}

#[tokio::test]
async fn a_create_that_takes_effect_after_its_response_was_given_up_is_not_made_again() {
    let late = Duration::from_millis(50);
    let jobs = Jobs::default().fine_tune_time(4 * TICK);
    let jobs = jobs.create_delays(late, late);
    let server = StandIn::builder().jobs(jobs).start().await;
    let server = Arc::new(server.unwrap());
    let file = file(&server).await;
    // Paced, nothing would be looked for too soon.
    let limiter = Limiter::new(Limits::none());
    let client = giving_up(&server, "/fine-tunes", 3);
    let tunes = tunes(limiter, &server, client).with_settle(2 * late);
    let outcomes: Vec<_> = pin!(tunes.run(wanted(&file, 3))).collect().await;
    assert!(
        outcomes.iter().all(|tune| tune.result.is_ok()),
        "{outcomes:?}"
    );
    assert_eq!(server.jobs().len(), 3);
}

/// The first list is read before anything is created. With a list that lagged by 80 s, three were created.
#[tokio::test(start_paused = true)]
async fn a_create_whose_response_is_lost_is_looked_for_three_times_and_never_repeated() {
    let there = r#"{"data":[{"id":"ft-0","suffix":"t"},{"id":"ft-1","suffix":"s"}]}"#;
    for (lost, found, may_exist) in [
        (None, 1, false),
        (None, 2, false),
        (None, 3, false),
        (None, 4, true),
        (Some((502, "{}")), 4, true),
        (Some((408, "{}")), 4, true),
        (Some((200, "<html>")), 4, true),
        (Some((200, "{}")), 4, true),
    ] {
        let (tune, asked) = looks::run(move |what, nth| match what {
            "POST /fine-tunes" => lost,
            "GET /fine-tunes" if nth < 1 + found => Some((200, r#"{"data":[]}"#)),
            "GET /fine-tunes" => Some((200, there)),
            _ => Some((200, r#"{"id":"ft-1","status":"cancelled"}"#)),
        })
        .await;
        match tune.result {
            Err(Untrained::MayExist(_)) => assert!(may_exist, "{lost:?} {found}"),
            Err(Untrained::Ended { id, .. }) => assert!(!may_exist && id == "ft-1"),
            other => panic!("{other:?}"),
        }
        assert_eq!(asked.at("POST /fine-tunes"), [30]);
        assert_eq!(
            asked.at("GET /fine-tunes"),
            [30, 60, 90, 120][..1 + found.min(3)]
        );
    }
    // A rejected create made nothing to look for.
    for (rejected, sent) in [
        ((400, "{}"), &[30][..]),
        (
            (503, r#"{"error":{"message":"overloaded"}}"#),
            &[30, 60, 90],
        ),
        ((0, ""), &[30, 60, 90]),
    ] {
        let (tune, asked) = looks::run(move |what, _| match what {
            "POST /fine-tunes" => Some(rejected),
            _ => Some((200, "[]")),
        })
        .await;
        assert!(
            matches!(tune.result, Err(Untrained::NotCreated(_))),
            "{tune:?}"
        );
        assert_eq!(asked.at("POST /fine-tunes"), sent, "{rejected:?}");
        assert_eq!(asked.at("GET /fine-tunes"), [30]);
    }
}

/// The first run ends as a killed program does: once its create has arrived.
#[tokio::test]
async fn a_create_that_takes_effect_after_its_run_has_ended_is_not_made_again() {
    let late = Duration::from_millis(50);
    let jobs = Jobs::default().fine_tune_time(4 * TICK);
    let server = StandIn::builder().jobs(jobs.create_delays(late, late));
    let server = server.start().await.unwrap();
    let file = file(&server).await;
    let run = || {
        let tunes = tunes(Limiter::default(), &server, client()).with_settle(2 * late);
        let run = tunes.run(wanted(&file, 1));
        async move { pin!(run).collect::<Vec<_>>().await }
    };
    select! {
        ended = run() => panic!("{ended:?}"),
        () = until("it has arrived", || creates_at(&server, "/fine-tunes") == 1) => {}
    }
    let again = run().await;
    assert!(again[0].result.is_ok(), "{again:?}");
    assert_eq!(server.jobs().len(), 1);
}

/// A file that is not there yet.
fn journal(name: &str) -> PathBuf {
    let name = format!("fine-tunes-{name}-{}.jsonl", std::process::id());
    let path = env::temp_dir().join(name);
    let _ = fs::remove_file(&path);
    path
}
