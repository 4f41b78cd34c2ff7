//! Texts, embedded in one request or in several.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_service::Service;
use tower_together::jobs::read_json;

use super::{heard::Begun, item::Item, send::Sender};
use crate::failure::{BoxError, Failure};

/// A vector for each text. A request that fails for what is in it is sent in halves, until only the texts fail
/// that are the reason.
pub(super) async fn embed<Id, S, R>(
    sender: &Sender<S>,
    model: &str,
    texts: Vec<(Id, String)>,
) -> Vec<Item<Id, String, Vec<f32>>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut items: Vec<_> = texts.into_iter().map(|text| (text, None)).collect();
    let mut parts = vec![&mut items[..]];
    let mut begun = sender.heard.begin();
    while !parts.is_empty() {
        let sent = parts.iter().map(|part| {
            let texts = part.iter().map(|((_, text), _)| &**text).collect();
            once(sender, begun, model, texts)
        });
        let sent = join_all(sent).await;
        let mut halves = Vec::new();
        for (part, result) in parts.into_iter().zip(sent) {
            match result {
                Ok(vectors) => {
                    for ((_, result), vector) in part.iter_mut().zip(vectors) {
                        *result = Some(Ok(vector));
                    }
                }
                Err(failure) if failure.is_own() && part.len() > 1 => {
                    let (one, other) = part.split_at_mut(part.len() / 2);
                    halves.extend([one, other]);
                }
                Err(failure) => {
                    for (_, result) in part {
                        *result = Some(Err(failure.clone()));
                    }
                }
            }
        }
        parts = halves;
        begun = sender.heard.begin_parts(begun);
    }
    let items = items.into_iter();
    items
        .filter_map(|((id, input), result)| {
            let result = result?;
            Some(Item { id, input, result })
        })
        .collect()
}

async fn once<S, R>(
    sender: &Sender<S>,
    begun: Begun,
    model: &str,
    texts: Vec<&str>,
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
    let read = |rules: &_, response: Response<Bytes>| {
        read(response.body(), texts.len()).map_err(|wrong| match wrong {
            Wrong::Response(why) => Failure::unreadable(rules, why),
            Wrong::Vectors(why) => Failure::wrong(why).into_own(),
        })
    };
    sender.send(&request, begun, texts.len() > 1, read).await
}

/// The vectors in a response of `POST /embeddings` to `texts` texts, in their order.
///
/// # Errors
///
/// If it is no such response, or has not one vector for each text.
pub fn vectors(response: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
    read(response, texts).map_err(|wrong| match wrong {
        Wrong::Response(why) | Wrong::Vectors(why) => Failure::wrong(why),
    })
}

/// The fault in a response.
enum Wrong {
    /// It is no response of `POST /embeddings`.
    Response(String),
    /// It has no list of vectors of numbers, one for each text.
    Vectors(String),
}

fn read(response: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Wrong> {
    #[derive(Deserialize)]
    struct Embeddings {
        data: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        index: Option<usize>,
        embedding: Vec<f32>,
    }
    let data = read_json::<Embeddings>(response).map_err(|error| {
        let why = format!("no embeddings: {error}");
        match read_json::<Value>(response) {
            Ok(response) if response["data"].is_array() => Wrong::Vectors(why),
            _ => Wrong::Response(why),
        }
    })?;
    let mut vectors = vec![Vec::new(); texts];
    let found = data.data.len();
    for (place, one) in data.data.into_iter().enumerate() {
        if let Some(vector) = vectors.get_mut(one.index.unwrap_or(place)) {
            *vector = one.embedding;
        }
    }
    if found != texts || vectors.iter().any(Vec::is_empty) {
        let why = format!("{found} embeddings for {texts} texts");
        return Err(Wrong::Vectors(why));
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
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
        for body in testing::odd_bodies(members) {
            let read = vectors(&body, 1).unwrap();
            assert_eq!(read, [[0.0, 0.5]], "{}", body.escape_ascii());
        }
        // A number that is none leaves no vector.
        assert!(vectors(br#"{"data":[{"embedding":[NaN,0.5]}]}"#, 1).is_err());
    }
}
