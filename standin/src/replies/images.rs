//! Images, which are not there.

use serde_json::{Value, json};

use crate::{call::Call, error::ApiError};

/// A URL for each image.
pub(super) fn reply(call: &Call) -> Result<Value, ApiError> {
    let n = match &call.body["n"] {
        Value::Null => 1,
        n => n
            .as_u64()
            .filter(|n| (1..=MAX_IMAGES).contains(n))
            .ok_or_else(|| ApiError::invalid(Some("n"), "`n` must be from 1 to 4."))?,
    };
    // The `.invalid` domain never resolves, so nobody fetches a stranger's picture by accident.
    let image = |index| json!({"index": index, "type": "url", "url": format!("https://standin.invalid/{}/{index}.png", call.id)});
    Ok(json!({
        "id": call.id,
        "model": call.model,
        "object": "list",
        "data": (0..n).map(image).collect::<Vec<_>>(),
    }))
}

/// As many as the API's own schema allows.
const MAX_IMAGES: u64 = 4;
