//! Which requests are resubmitted, and until when.

use futures_util::{StreamExt, stream};
use http::Method;
use http_body_util::Full;
use tower_together::extension::Retries;
use tower_together_jobs::{Corpus, Failure, JobsApi};

use crate::{
    asked::{self, Asked},
    at_most,
};

/// A server that responds to each request but `GET /v1/warm` as `answer` says.
async fn run(
    base: &str,
    requests: &[(Method, &str)],
    retries: Option<Retries>,
    answer: Option<(u16, &'static str)>,
) -> (Vec<Failure>, Asked) {
    let (server, asked) = asked::server(move |what, _| match what {
        _ if what.ends_with("/warm") => Some((200, "{}")),
        _ => answer,
    });
    let api = JobsApi::new(server).with_base(base).unwrap();
    let requests = [&[(Method::GET, "warm")], requests].concat();
    let requests = requests.into_iter().map(|(method, path)| {
        let mut request = api.request(method, path).body(Full::default()).unwrap();
        if let Some(retries) = retries {
            request.extensions_mut().insert(retries);
        }
        ((), request)
    });
    let corpus = Corpus::new(api.clone()).with_most(at_most(1));
    let items: Vec<_> = corpus.run(stream::iter(requests)).collect().await;
    let failures = items.into_iter().filter_map(|item| item.result.err());
    (failures.collect(), asked)
}

/// A `POST /videos` that had created its video and then failed with 500 was sent nine times.
#[tokio::test(start_paused = true)]
async fn a_request_that_creates_something_is_resubmitted_only_if_it_did_nothing() {
    let declined = r#"{"error":{"message":"overloaded"}}"#;
    for (method, path, answer, sent, may_be_done) in [
        (Method::POST, "videos", Some((500, "{}")), 1, true),
        (Method::POST, "videos", None, 1, true),
        (Method::POST, "videos", Some((408, "{}")), 1, true),
        (Method::POST, "videos", Some((503, "<html>")), 1, true),
        (Method::POST, "videos", Some((503, declined)), 9, false),
        (Method::POST, "videos", Some((429, "{}")), 9, false),
        (Method::POST, "videos", Some((400, "{}")), 1, false),
        (Method::POST, "fine-tunes", Some((502, "{}")), 1, true),
        (Method::POST, "somewhere/else", Some((502, "{}")), 1, true),
        (Method::PUT, "somewhere/else", Some((502, "{}")), 9, true),
        (
            Method::POST,
            "deployments/d/rollback",
            Some((500, "{}")),
            1,
            true,
        ),
        (Method::POST, "chat/completions", Some((500, "{}")), 9, true),
        (Method::POST, "chat/completions", None, 9, true),
    ] {
        // A path in front of the base hides no endpoint.
        for base in ["/v1", "/llm/together/v1"] {
            let url = format!("http://server{base}");
            let request = [(method.clone(), path)];
            let (failures, asked) = run(&url, &request, None, answer).await;
            let what = format!("{method} {base}/{path}");
            assert_eq!(asked.at(&what).len(), sent, "{what} {answer:?}");
            assert_eq!(failures[0].may_be_done(), may_be_done, "{what} {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_caller_says_so_is_resubmitted_whatever_it_creates() {
    let request = [(Method::POST, "videos")];
    let repeats = Some(Retries::default().may_repeat());
    let (_, asked) = run("http://server/v1", &request, repeats, Some((500, "{}"))).await;
    assert_eq!(asked.at("POST /v1/videos").len(), 9);
}
