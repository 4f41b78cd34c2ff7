use super::*;

fn read(body: &str) -> Vec<(String, bool)> {
    let listed = jobs(body.as_bytes()).unwrap_or_default();
    let both = |job: Job| (job.id.to_string(), job.ended);
    listed.jobs.into_iter().map(both).collect()
}

#[test]
fn every_shape_the_api_has() {
    let one = [("ft-1".to_owned(), false)];
    for body in [
        r#"{"id":"ft-1","status":"running","events":[{"id":"x","status":"completed"}]}"#,
        r#"{"job":{"id":"ft-1","status":"VALIDATING"},"warning":"slow"}"#,
        r#"[{"id":"ft-1","status":"IN_PROGRESS"}]"#,
        // A `job` that is not an object.
        r#"{"id":"ft-1","status":"running","job":null}"#,
        r#"{"id":"ft-1","status":"running","job":"train","data":null}"#,
        r#"{"data":[{"id":"ft-1","status":"pending"}]}"#,
        r#"{"data":[null,{"id":"ft-2"},{"status":"running"},{"id":7,"status":"error"},
            {"id":"","status":"error"},{"id":"ft-1","status":"queued"}]}"#,
    ] {
        assert_eq!(read(body), one, "{body}");
    }
    for body in [
        r#"{"warning":"nothing was made"}"#,
        r#"{"data":{}}"#,
        "7",
        "<html>",
        "",
    ] {
        assert_eq!(read(body), [], "{body}");
    }
}

#[test]
fn what_a_response_to_a_create_tells() {
    let job = || Creation::Job("ft-1".into());
    for (body, told) in [
        (r#"{"id":"ft-1","status":"pending"}"#, job()),
        (r#"{"id":"ft-1"}"#, job()),
        (r#"{"job":{"id":"ft-1","progress":NaN}}"#, job()),
        (r#"[{"id":"ft-1"}]"#, job()),
        (r#"{"id":"ft-1","job":null}"#, job()),
        (r#"{"id":"ft-1","job":"train"}"#, job()),
        (
            r#"{"job":null,"warning":"nothing was made"}"#,
            Creation::Nothing,
        ),
        (r#"{"id":"ft-1","status":"error"}"#, Creation::Nothing),
        (r#"{"warning":"nothing was made"}"#, Creation::Nothing),
        ("[]", Creation::Nothing),
        (r#"{"id":7}"#, Creation::Unnamed),
        (r#"{"id":null}"#, Creation::Unnamed),
        (r#"{"status":"pending"}"#, Creation::Unnamed),
        (r#"{"id":"ft-1""#, Creation::Unnamed),
        ("<html>", Creation::Unnamed),
        ("null", Creation::Unnamed),
        ("", Creation::Unnamed),
    ] {
        assert_eq!(creation(body.as_bytes()), told, "{body}");
    }
}

#[test]
fn what_ends_a_job_and_what_does_not() {
    let ended = |status: &str| read(&format!(r#"{{"id":"1","status":"{status}"}}"#))[0].1;
    for status in [
        "COMPLETED",
        "FAILED",
        "EXPIRED",
        "CANCELLED",
        "completed",
        "cancelled",
        "canceled",
        "error",
        "user_error",
    ] {
        assert!(ended(status), "{status}");
    }
    for status in [
        "VALIDATING",
        "IN_PROGRESS",
        "CANCELING",
        "pending",
        "queued",
        "running",
        "compressing",
        "uploading",
        "cancel_requested",
        "paused_for_reasons_of_2027",
    ] {
        assert!(!ended(status), "{status}");
    }
}

#[test]
fn whether_a_page_is_the_last() {
    let more = |body: &str| jobs(body.as_bytes()).unwrap().more;
    assert!(more(
        r#"{"data":[{"id":"1","status":"x"}],"has_more":true}"#
    ));
    assert!(!more(r#"{"data":[],"has_more":false}"#));
    assert!(!more(r#"{"data":[],"has_more":"yes"}"#));
}

#[test]
fn the_model_that_a_job_is_of() {
    let model = |body: &str| jobs(body.as_bytes()).unwrap().jobs[0].model.clone();
    assert_eq!(
        model(r#"{"id":"1","status":"x","model":"m"}"#).as_deref(),
        Some("m")
    );
    assert_eq!(
        model(r#"{"id":"1","status":"x","model_id":"n"}"#).as_deref(),
        Some("n")
    );
    assert_eq!(model(r#"{"id":"1","status":"x"}"#), None);
}
