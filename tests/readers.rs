//! Bodies with an odd value in them: every reader of JSON finds the other members.
//!
//! One table of such bodies (`testing::odd_bodies`) is used for every reader: errors, models, prompts, usage and jobs.

use std::{convert::Infallible, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use testing::odd_bodies;
use tower::{Layer, Service, service_fn};
use tower_together::{
    ApiError, Endpoint, Limits, Quota, TogetherRateLimitLayer,
    limiter::{LaneSnapshot, Report},
};

#[test]
fn an_error_is_read_whatever_stands_beside_it() {
    let inner = r#""message":"no credit","type":"t","code":"insufficient_quota""#;
    let outer = odd_bodies(&format!(r#""error":{{{inner}}},"request_id":"r""#));
    let within = odd_bodies(inner).into_iter().map(|inner| {
        let inner = [b"{\"error\":", &inner[..], b",\"request_id\":\"r\"}"];
        inner.concat()
    });
    for body in outer.into_iter().chain(within) {
        let error = ApiError::parse(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), &body);
        let body = body.escape_ascii();
        assert_eq!(error.message(), "no credit", "{body}");
        assert_eq!(error.kind(), Some("t"), "{body}");
        assert_eq!(error.code(), Some("insufficient_quota"), "{body}");
        assert_eq!(error.request_id(), Some("r"), "{body}");
        assert!(error.is_out_of_money(), "{body}");
    }
}

#[test]
fn a_message_is_read_but_for_its_odd_characters() {
    for (said, expected) in [
        (&b"so \\ud83d it ends"[..], "so \u{fffd} it ends"),
        (b"caf\xe9 is full", "caf\u{fffd} is full"),
        (b"\\ud83d\\ude00 \\ud83d", "\u{1f600} \u{fffd}"),
        (b"in C:\\dir", "in C:\\dir"),
        (b"one\ntwo", "one two"),
    ] {
        let body = [b"{\"error\":{\"message\":\"", said, b"\"}}"].concat();
        let error = ApiError::parse(StatusCode::BAD_REQUEST, &HeaderMap::new(), &body);
        assert_eq!(error.message(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_is_read_and_has_its_own_lane() {
    for body in odd_bodies(r#""model":"a/b""#) {
        let lane = lane(&body).await;
        let body = body.escape_ascii();
        assert_eq!(lane.model.as_deref(), Some("a/b"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_and_its_longest_response_are_charged() {
    let members = r#""messages":[{"role":"user","content":"why is it so"}],"max_tokens":900"#;
    let expected = charged(format!("{{{members}}}").as_bytes()).await;
    assert!(expected > 900);
    for body in odd_bodies(members) {
        assert_eq!(charged(&body).await, expected, "{}", body.escape_ascii());
    }
    for number in ["900.0", "\"900\"", "9e2", "\"900.0\""] {
        let body = format!("{{{members}}}").replace("900", number);
        assert_eq!(charged(body.as_bytes()).await, expected, "{body}");
    }
    // Within the prompt too, where an odd character counts as a rare one does.
    for odd in [&b"\\ud83d"[..], b"\xe9"] {
        let said = br#"{"messages":[{"role":"user","content":"why is it so "#;
        let body = [said, odd, br#""}],"max_tokens":900}"#].concat();
        let charged = charged(&body).await;
        assert!((expected + 1..expected + 5).contains(&charged), "{charged}");
    }
}

/// A picture of 300 KB counted as 300,000 letters: more than the limit, so it was rejected with 400.
#[tokio::test(start_paused = true)]
async fn a_picture_is_charged_as_a_picture() {
    let data = "iVBORw0KGgo+/".repeat(30_000);
    for body in [
        format!(
            r#"{{"messages":[{{"role":"user","content":"see","images":["{data}"]}}],"max_tokens":9}}"#
        ),
        format!(r#"{{"messages":[{{"role":"user","audio":{{"data":"{data}"}}}}],"max_tokens":9}}"#),
        format!(r#"{{"input":[{{"image":"{data}"}}],"max_tokens":9}}"#),
        format!(r#"{{"query":"a","documents":["data:image/png;base64,{data}"],"max_tokens":9}}"#),
    ] {
        let charged = charged(body.as_bytes()).await;
        assert!((1_601..1_700).contains(&charged), "{charged}");
    }
}

#[test]
fn what_a_request_has_cost_is_read() {
    let members = r#""usage":{"total_tokens":900,"prompt_tokens":1}"#;
    let read = |kind: &str, body: &[u8]| report(Endpoint::ChatCompletions, kind, body);
    let expected = read(JSON, format!("{{{members}}}").as_bytes());
    assert_ne!(expected, read(JSON, b"{}"));
    for body in odd_bodies(members) {
        assert_eq!(read(JSON, &body), expected, "{}", body.escape_ascii());
        // A line's end ends the data.
        if !body.contains(&b'\n') {
            let events = [b"data: ", &body[..], b"\n\ndata: [DONE]\n\n"].concat();
            assert_eq!(read(EVENTS, &events), expected, "{}", body.escape_ascii());
        }
    }
    let marked = format!("\u{feff}data: {{{members}}}\n\n");
    assert_eq!(read(EVENTS, marked.as_bytes()), expected);
    for number in ["900.0", "\"900\"", "9e2", "\"900.0\""] {
        let body = format!("{{{members}}}").replace("900", number);
        assert_eq!(read(JSON, body.as_bytes()), expected, "{body}");
    }
    for number in ["1e999", "NaN", "-900", "\"\"", "\"many\"", "\"9,}\\\"]\""] {
        let body = format!("{{{members}}}").replace("900", number);
        let unknown = br#"{"usage":{"prompt_tokens":1}}"#;
        assert_eq!(read(JSON, body.as_bytes()), read(JSON, unknown), "{body}");
    }
}

#[test]
fn the_jobs_that_have_ended_are_read() {
    let job = r#""id":"ft-1","status":"completed""#;
    let read = |body: &[u8]| report(Endpoint::FineTuneList, JSON, body);
    let expected = read(format!("{{{job}}}").as_bytes());
    assert_ne!(expected, read(b"{}"));
    let one = odd_bodies(job).into_iter();
    let list = odd_bodies(&format!(r#""data":[{{{job}}}]"#));
    for body in one.chain(list) {
        assert_eq!(read(&body), expected, "{}", body.escape_ascii());
    }
}

/// The lane of a chat with this body.
async fn lane(body: &[u8]) -> LaneSnapshot {
    let quota = Quota::per_minute(MOST).unwrap().unpaced();
    let limits = Limits::none().tokens(Endpoint::ChatCompletions, quota);
    let layer = TogetherRateLimitLayer::new(limits.reserve_max_tokens());
    // A failure settles nothing: the charge stands.
    let mut service = layer.layer(service_fn(|_| async {
        let failed = Response::builder().status(500);
        Ok::<_, Infallible>(failed.body(Full::<Bytes>::default()).unwrap())
    }));
    let request = Request::post("/v1/chat/completions");
    let request = request.body(Full::new(Bytes::copy_from_slice(body)));
    service.call(request.unwrap()).await.unwrap();
    layer.limiter().snapshot().lanes.remove(0)
}

/// The tokens that it was charged.
async fn charged(body: &[u8]) -> u64 {
    let limit = lane(body).await.limits.remove(0);
    limit.max - limit.left
}

fn report(endpoint: Endpoint, kind: &str, body: &[u8]) -> Report {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
    let now = SystemTime::UNIX_EPOCH;
    Report::read(endpoint, StatusCode::OK, &headers, body, now)
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The largest quota per minute.
const MOST: u64 = 600_000_000;
