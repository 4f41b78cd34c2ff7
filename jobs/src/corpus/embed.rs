//! Texts, embedded in one request or in several.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tower_service::Service;
use tower_together::jobs::read_json;

use super::{Item, Sender};
use crate::{Failure, call::BoxError};

/// A vector for each text.
pub(super) async fn embed<Id, S, R>(
    sender: &Sender<S>,
    model: &str,
    texts: Vec<(Id, String)>,
) -> Vec<Item<Id, String, Vec<f32>>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut results: Vec<Result<Vec<f32>, Failure>> = Vec::new();
    // From the last to the first, so that the first is on top.
    let mut todo = vec![(0, texts.len())];
    while let Some((start, end)) = todo.pop() {
        let asked: Vec<&str> = texts[start..end].iter().map(|(_, text)| &**text).collect();
        match once(sender, model, &asked).await {
            Ok(vectors) => results.extend(vectors.into_iter().map(Ok)),
            Err(failure) if is_its_own(&failure) && end - start > 1 => {
                let half = start + (end - start) / 2;
                todo.extend([(half, end), (start, half)]);
            }
            Err(failure) => results.extend((start..end).map(|_| Err(failure.clone()))),
        }
    }
    let items = texts.into_iter().zip(results);
    items
        .map(|((id, input), result)| Item { id, input, result })
        .collect()
}

async fn once<S, R>(
    sender: &Sender<S>,
    model: &str,
    texts: &[&str],
) -> Result<Vec<Vec<f32>>, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = json!({"model": model, "input": texts}).to_string();
    let request = sender
        .api
        .request(Method::POST, "embeddings")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body));
    let request = request.map_err(Failure::wrong)?;
    let read = |_: &_, answer: Response<Bytes>| vectors(answer.body(), texts.len());
    sender.send(&request, read).await
}

/// Whether it failed for what is in the request.
fn is_its_own(failure: &Failure) -> bool {
    matches!(
        failure.status(),
        Some(
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        )
    )
}

/// The vectors in an answer of `POST /embeddings` to so many texts, in their order.
///
/// # Errors
///
/// If it is no such answer, or has not one vector for each.
pub fn vectors(answer: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        index: Option<usize>,
        embedding: Vec<f32>,
    }
    let answer = read_json::<Answer>(answer);
    let data = answer.map_err(|error| Failure::wrong(format!("no embeddings: {error}")))?;
    let mut vectors = vec![Vec::new(); texts];
    let found = data.data.len();
    for (place, one) in data.data.into_iter().enumerate() {
        if let Some(vector) = vectors.get_mut(one.index.unwrap_or(place)) {
            *vector = one.embedding;
        }
    }
    if found != texts || vectors.iter().any(Vec::is_empty) {
        return Err(Failure::wrong(format!(
            "{found} embeddings for {texts} texts"
        )));
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_vector_for_each_text_or_none_at_all() {
        let read =
            |data: Value, texts| vectors(json!({"data": data}).to_string().as_bytes(), texts).ok();
        let one = |index: u64| json!({"index": index, "embedding": [index as f32, 0.5]});
        let both = Some(vec![vec![0.0, 0.5], vec![1.0, 0.5]]);
        assert_eq!(read(json!([one(0), one(1)]), 2), both);
        assert_eq!(read(json!([one(1), one(0)]), 2), both);
        let unnumbered = json!([{"embedding": [0, 0.5]}, {"embedding": [1, 0.5]}]);
        assert_eq!(read(unnumbered, 2), both);
        for wrong in [
            json!([one(0)]),
            json!([one(0), one(0)]),
            json!([one(0), one(2)]),
            json!([one(0), {"index": 1, "embedding": []}]),
            json!([one(0), {"index": 1, "embedding": ["1"]}]),
            json!({}),
        ] {
            assert_eq!(read(wrong.clone(), 2), None, "{wrong}");
        }
    }

    #[test]
    fn vectors_are_read_whatever_stands_beside_them() {
        let members = r#""data":[{"index":0,"embedding":[0,0.5]}]"#;
        for body in together_standin::odd_bodies(members) {
            let read = vectors(&body, 1).unwrap();
            assert_eq!(read, [[0.0, 0.5]], "{}", body.escape_ascii());
        }
        // A number that is none leaves no vector.
        assert!(vectors(br#"{"data":[{"embedding":[NaN,0.5]}]}"#, 1).is_err());
    }
}
