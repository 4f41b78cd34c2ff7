//! Embeddings: vectors that mean nothing, but are always the same for the same text.

use serde_json::{Value, json};

use crate::{call::Call, error::ApiError, latency::scrambled};

/// One vector for a string, or one for each string of an array.
pub(super) fn reply(call: &Call, dimension: usize) -> Result<Value, ApiError> {
    let inputs = match &call.body["input"] {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let inputs = inputs.filter(|texts| !texts.is_empty()).ok_or_else(|| {
        let message = "`input` must be a string or an array of strings.";
        ApiError::invalid(Some("input"), message)
    })?;
    let item = |(index, text): (usize, &str)| {
        json!({
            "object": "embedding",
            "index": index,
            "embedding": vector(&call.model, text, dimension),
        })
    };
    Ok(json!({
        "object": "list",
        "model": call.model,
        "data": inputs.into_iter().enumerate().map(item).collect::<Vec<_>>(),
    }))
}

/// A vector of unit length drawn from the model and the text.
fn vector(model: &str, text: &str, dimension: usize) -> Vec<f64> {
    // FNV-1a; the standard library's hashes may change from one release to the next.
    let seed = [model.as_bytes(), &[0], text.as_bytes()]
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let coordinate = |place| {
        let bits = scrambled(seed.wrapping_add(place)) >> 11;
        // Odd, so never zero: the length below can be divided by.
        (2 * bits + 1) as f64 / (1_u64 << 53) as f64 - 1.0
    };
    let mut vector: Vec<f64> = (0..dimension as u64).map(coordinate).collect();
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    for x in &mut vector {
        *x /= length;
    }
    vector
}
