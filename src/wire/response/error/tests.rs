use http::{HeaderMap, StatusCode};

use crate::words::ApiError;

fn parse(status: u16, body: &str) -> ApiError {
    let status = StatusCode::from_u16(status).unwrap();
    ApiError::parse(status, &HeaderMap::new(), body.as_bytes())
}

/// Kind, code, message.
type Fields<'a> = (Option<&'a str>, Option<&'a str>, &'a str);

fn fields(error: &ApiError) -> Fields<'_> {
    (error.kind(), error.code(), error.message())
}

/// Bodies as published. The links to their sources are beside the numbers read from them.
#[test]
fn every_shape_of_the_api() {
    let cases: [(u16, &str, Fields<'_>); 14] = [
        // The OpenAPI specification's `ErrorData`.
        (
            404,
            r#"{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"model_not_available"}}"#,
            (
                Some("invalid_request_error"),
                Some("model_not_available"),
                "no such model",
            ),
        ),
        // github.com/bespokelabsai/curator/issues/205
        (
            429,
            r#"{"id":"x","error":{"message":"Your rate limits are 600 RPM (10 QPS)","type":"credit_limit","param":null,"code":null}}"#,
            (
                Some("credit_limit"),
                None,
                "Your rate limits are 600 RPM (10 QPS)",
            ),
        ),
        // The dynamic limits of 2026; the position of `error_type` is not documented.
        (
            429,
            r#"{"error_type":"dynamic_token_limited","error":{"message":"m","type":"t"}}"#,
            (Some("dynamic_token_limited"), None, "m"),
        ),
        (
            429,
            r#"{"error":{"message":"m","error_type":"dynamic_request_limited"}}"#,
            (Some("dynamic_request_limited"), None, "m"),
        ),
        (
            429,
            r#"{"error_type":"dynamic_request_limited","message":"m"}"#,
            (Some("dynamic_request_limited"), None, "m"),
        ),
        // `/batches`, bare string.
        (
            404,
            r#"{"error":"Job not found","request_id":"r1"}"#,
            (None, None, "Job not found"),
        ),
        // `/queue`, flat; clusters, flat with a number.
        (
            409,
            r#"{"code":"not_pending","message":"m","param":"","type":"invalid"}"#,
            (Some("invalid"), Some("not_pending"), "m"),
        ),
        (500, r#"{"code":13,"message":"m"}"#, (None, Some("13"), "m")),
        // Old inference servers.
        (
            400,
            r#"{"model":"m","job_id":"j","request_id":"r","error":"said so","message":"old","type":"t"}"#,
            (Some("t"), None, "said so"),
        ),
        // Python servers behind a proxy.
        (400, r#"{"detail":"m"}"#, (None, None, "m")),
        (500, r#""a string""#, (None, None, "a string")),
        // Cloudflare.
        (403, "error code: 1010", (None, None, "error code: 1010")),
        (
            502,
            "<html>\r\n<head><title> 502 Bad Gateway </title></head><body>..</body></html>",
            (None, None, "502 Bad Gateway"),
        ),
        (503, "", (None, None, "")),
    ];
    for (status, body, expected) in cases {
        let error = parse(status, body);
        assert_eq!(fields(&error), expected, "{body}");
        assert_eq!(error.text(), body);
        assert_eq!(error.status().as_u16(), status);
    }
}

#[test]
fn what_makes_no_sense_is_empty() {
    for body in [
        r#"{"error":null}"#,
        r#"{"error":{}}"#,
        r#"{"error":{"message":{"deep":1},"type":[],"code":null}}"#,
        r#"{"error":{"message":"cut sho"#,
        "[1,2]",
        "<html></html>",
        "null",
        "  \r\n ",
    ] {
        let expected = if body == "null" { "null" } else { "" };
        assert_eq!(fields(&parse(500, body)), (None, None, expected), "{body}");
    }
    assert_eq!(parse(500, "a\u{1b}[31mb\nc").message(), "a [31mb");
}

/// Regressions found by fuzzing: a blank name was `Some("")`, a blank field hid another that was not, and a
/// text that was cut or replaced at its end kept a space there.
#[test]
fn what_is_blank_is_not_there() {
    for (body, expected) in [
        (
            r#"{"error":{"message":" \n","type":" ","code":"\u0000"}}"#,
            (None, None, ""),
        ),
        (
            r#"{"error":" ","message":"m","type":"t","code":"c"}"#,
            (Some("t"), Some("c"), "m"),
        ),
        (
            r#"{"error":{"type":" ","code":"\t"},"type":"t","code":"c"}"#,
            (Some("t"), Some("c"), ""),
        ),
        ("\u{0} m\u{1b}", (None, None, "m")),
        // Unicode's own line ends.
        ("a\u{2028}b\u{2029}c", (None, None, "a b c")),
    ] {
        assert_eq!(fields(&parse(500, body)), expected, "{body}");
    }
    let late = format!("{}m", " ".repeat(4_000));
    assert_eq!(parse(500, &late).message(), "m");
    let cut = format!("{} m", "x".repeat(2_047));
    assert_eq!(parse(500, &cut).message(), "x".repeat(2_047));
}

#[test]
fn nothing_grows_without_bound() {
    let long = "\u{e9}".repeat(100_000);
    let body = format!(r#"{{"error":{{"message":"{long}","type":"{long}"}}}}"#);
    let error = parse(500, &body);
    assert_eq!(error.message().len(), 2_048);
    assert_eq!(error.kind().unwrap().len(), 128);
    assert!(parse(500, &"[".repeat(100_000)).message().is_empty());
}

#[test]
fn the_request_id_is_the_headers_or_else_the_bodys() {
    let body = br#"{"error":"e","request_id":"body"}"#;
    let mut headers = HeaderMap::new();
    let id = |headers: &HeaderMap| {
        let error = ApiError::parse(StatusCode::NOT_FOUND, headers, body);
        error.request_id().unwrap().to_owned()
    };
    assert_eq!(id(&headers), "body");
    headers.insert("x-together-traceid", "trace".parse().unwrap());
    assert_eq!(id(&headers), "trace");
    headers.insert("x-request-id", "request".parse().unwrap());
    assert_eq!(id(&headers), "request");
    // An empty or unreadable header hides no other.
    for value in ["", " ", "\t", "\u{e9}"] {
        headers.insert("x-request-id", value.parse().unwrap());
        assert_eq!(id(&headers), "trace", "{value:?}");
    }
    headers.insert("x-together-traceid", "".parse().unwrap());
    assert_eq!(id(&headers), "body");
}

#[test]
fn of_a_compressed_body_nothing_is_read() {
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", "gzip".parse().unwrap());
    let error = ApiError::parse(StatusCode::BAD_GATEWAY, &headers, b"\x1f\x8b\x08");
    assert_eq!((error.message(), error.text()), ("", ""));
    // A compressed body is not guessed at, even if it is not compressed in fact.
    let money = br#"{"error":{"code":"insufficient_quota"}}"#;
    let error = ApiError::parse(StatusCode::TOO_MANY_REQUESTS, &headers, money);
    assert!(!error.is_out_of_money());
    headers.insert("content-encoding", "Identity".parse().unwrap());
    let error = ApiError::parse(StatusCode::BAD_GATEWAY, &headers, b"m");
    assert_eq!((error.message(), error.text()), ("m", "m"));
    headers.insert("content-encoding", "UTF-8".parse().unwrap());
    let error = ApiError::parse(StatusCode::BAD_GATEWAY, &headers, b"m");
    assert_eq!((error.message(), error.text()), ("m", "m"));
}

/// Cloudflare's 1015 and 522 give the wait in JSON, with `retry-after: 0` or no header.
#[test]
fn the_wait_is_the_heads_or_else_the_bodys() {
    let cloudflare = r#"{"type":"https://developers.cloudflare.com/1015/","title":"Error 1015: You are being rate limited","status":429,"detail":"You are being rate-limited","error_code":1015,"retryable":true,"retry_after":30}"#;
    let wait = |head: &[&str], body: &str| {
        let mut headers = HeaderMap::new();
        for value in head {
            headers.append("retry-after", value.parse().unwrap());
        }
        let error = ApiError::parse(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
        error.retry_after().map(|wait| wait.as_millis())
    };
    assert_eq!(wait(&[], cloudflare), Some(30_000));
    assert_eq!(wait(&["0"], cloudflare), Some(30_000));
    assert_eq!(wait(&["7"], cloudflare), Some(7_000));
    for (body, expected) in [
        (
            r#"{"error":{"message":"m","retry_after":30}}"#,
            Some(30_000),
        ),
        (
            r#"{"error":{"retry_after":20},"retry_after":30}"#,
            Some(20_000),
        ),
        (r#"{"retry_after":0.25}"#, Some(250)),
        (r#"{"retry_after":"30"}"#, Some(30_000)),
        (r#"{"retry_after":"1m30s"}"#, Some(90_000)),
        (r#"{"error":{"retry_after_ms":250}}"#, Some(250)),
        (r#"{"retry_after_seconds":30}"#, Some(30_000)),
        (r#"{"retryAfter":30}"#, Some(30_000)),
        (r#"{"retry_after":0,"retry_after_ms":250}"#, Some(250)),
        (r#"{"retry_after":0}"#, None),
        (r#"{"retry_after":-30}"#, None),
        (r#"{"retry_after":null}"#, None),
        (r#"{"retry_after":[30]}"#, None),
        (r#"{"retry_after":"soon"}"#, None),
        (r#"{"retry_after":1795723230}"#, None),
        (r#"{"error":"retry_after: 30"}"#, None),
    ] {
        assert_eq!(wait(&[], body), expected, "{body}");
    }
}

/// `credit_limit` alone proves nothing: Together has used it for rate limits too.
#[test]
fn money_is_told_from_haste() {
    for (status, body, out_of_money) in [
        (402, "", true),
        (
            402,
            r#"{"error":{"message":"Credit limit exceeded. Please navigate to https://api.together.xyz/settings/billing to add credit or upgrade your plan.","type":"credit_limit"}}"#,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"Credit limit exceeded. Please add credit","type":"credit_limit"}}"#,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota"}}"#,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"m","code":"billing_hard_limit_reached"}}"#,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan"}}"#,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"You have been rate limited. Your rate limit is 60 queries per minute. Please navigate to https://api.together.xyz/settings/billing to upgrade to a paid plan.","type":"credit_limit"}}"#,
            false,
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"dynamic_request_limited"}}"#,
            false,
        ),
        (429, "<html></html>", false),
    ] {
        assert_eq!(
            parse(status, body).is_out_of_money(),
            out_of_money,
            "{body}"
        );
    }
}

/// Together publishes no status or code for it, so the message has to say that too many jobs run at once.
#[test]
fn too_many_jobs_are_distinguished_from_every_other_limit() {
    let said = |status: u16, message: &str| {
        let body = serde_json::json!({"error": {"message": message}});
        parse(status, &body.to_string()).is_too_many_jobs()
    };
    for message in [
        "Concurrency exceeded: 3 jobs",
        "Too many fine-tunes are running",
        "The maximum of 3 active finetunes is reached",
        "limit: 3 pending batches",
        "Too many fine tunes in progress",
        "at most 3 jobs at once, which is the LIMIT",
        "the limit is one BATCH AT A TIME",
    ] {
        for status in [400, 403, 409, 422, 429] {
            assert!(said(status, message), "{status} {message}");
        }
        for status in [401, 402, 404, 500, 503] {
            assert!(!said(status, message), "{status} {message}");
        }
    }
    for message in [
        "job name exceeds the limit of 40",
        "too many lines in the batch",
        "too many tokens are pending",
        "too many concurrent requests are active",
        "a fine-tune of this name is running",
        "the limit",
        "",
        "batch_size 256 exceeds the maximum of 128 for models with 17B active parameters",
        "batch size 64 is over the limit of 32 active sequences",
        "the maximum batch may have 8 rows for a model of 70B active parameters",
        "the job limit of an inactive account is 0",
        "batch is limited to interactive models: the maximum is 0",
        "the concurrent_requests of this job file are not an integer",
        "concurrency is no parameter of the model that was given for this job",
    ] {
        assert!(!said(400, message), "{message}");
    }
    for message in [
        "3 fine-tuning jobs are currently running, and your plan allows a maximum of 3",
        "You have reached the limit. 3 jobs are pending.",
        "Maximum number of active batches exceeded",
        "Concurrent fine-tuning jobs: 3 of 3",
    ] {
        assert!(said(400, message), "{message}");
    }
    for body in [
        r#"{"error":{"message":"no","code":"concurrent_jobs"}}"#,
        r#"{"error":{"message":"no","type":"concurrent_jobs"}}"#,
        r#"{"error":{"message":"no","code":"MaxActiveJobsExceeded"}}"#,
        r#"{"error":{"message":"of jobs","code":"concurrency","type":"t"}}"#,
    ] {
        assert!(parse(409, body).is_too_many_jobs(), "{body}");
    }
}

#[test]
fn the_commonest_errors_say_what_to_do() {
    for (status, body, says) in [
        (401, "{}", "check the key"),
        (402, "{}", "billing"),
        (
            404,
            r#"{"error":{"message":"m","code":"model_not_available"}}"#,
            "GET /v1/models",
        ),
        (
            400,
            r#"{"error":{"message":"Unable to access non-serverless model x. Please visit ...","code":"model_not_available"}}"#,
            "dedicated endpoints",
        ),
        (404, r#"{"error":"no model x"}"#, "GET /v1/models"),
        (404, "{}", "base URL"),
        (
            403,
            r#"{"error":{"message":"input tokens + max_tokens must be below the context length"}}"#,
            "shorten",
        ),
        (403, r#"{"error":"longer than the context"}"#, "shorten"),
        (403, r#"{"error":"too many tokens"}"#, "shorten"),
        (403, "error code: 1010", "user-agent"),
        (403, r#"{"error":"denied"}"#, "15 minutes"),
        (
            409,
            r#"{"error":"too many jobs are running"}"#,
            "wait for a running job to end",
        ),
        (413, "{}", "too large"),
        (422, "{}", "a parameter is wrong"),
        (429, "{}", "send slower"),
        (503, "{}", "overloaded"),
        (524, "<html></html>", "stream it"),
    ] {
        let error = parse(status, body);
        assert!(error.hint().unwrap().contains(says), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(parse(400, r#"{"error":"temperature"}"#).hint(), None);
    assert_eq!(parse(409, "{}").hint(), None);
    assert_eq!(parse(500, r#"{"error":"model"}"#).hint(), None);
    let all = parse(
        500,
        r#"{"error":{"message":"m","type":"server_error"},"id":"r"}"#,
    );
    let expected = "500 Internal Server Error: m (server_error) [request r]";
    assert_eq!(all.to_string(), expected);
}
