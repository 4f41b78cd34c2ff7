//! The models, in the two shapes that the API lists them in.

use serde_json::{Value, json};

use super::reply::CREATED;

/// A bare array: the API does not wrap this list in an object, as others do.
pub(super) fn all() -> Value {
    let free = json!({"base": 0, "finetune": 0, "hourly": 0, "input": 0, "output": 0});
    let model = |(id, kind)| json!({"id": id, "object": "model", "created": CREATED, "type": kind, "display_name": id, "organization": "standin", "link": "", "license": "", "context_length": 131_072, "pricing": free});
    MODELS.into_iter().map(model).collect()
}

/// The list that version 3 of Together's SDK for Python reads.
pub(super) fn supported() -> Value {
    let model = |(id, kind): (&str, &str)| {
        let (capability, output) = match kind {
            "embedding" => ("CAPABILITY_EMBEDDING", "MODALITY_TEXT"),
            "image" => ("CAPABILITY_IMAGE_GENERATION", "MODALITY_IMAGE"),
            _ => ("CAPABILITY_CHAT", "MODALITY_TEXT"),
        };
        json!({
            "id": id,
            "name": id,
            "displayName": id,
            "displayType": kind,
            "publisher": "standin",
            "baseModel": "",
            "baseModelId": "",
            "status": "SUPPORTED_MODEL_STATUS_SUPPORTED",
            "capabilities": [capability],
            "products": ["PRODUCT_SERVERLESS"],
            "inputModalities": ["MODALITY_TEXT"],
            "outputModalities": [output],
            "contextLength": "131072",
            "deploymentProfiles": [],
            "pricing": {"input": 0, "output": 0},
            "createdAt": FIRST_DAY,
            "updatedAt": FIRST_DAY,
        })
    };
    json!({"object": "list", "data": MODELS.map(model), "next_cursor": null})
}

const MODELS: [(&str, &str); 3] = [
    ("standin/chat", "chat"),
    ("standin/embeddings", "embedding"),
    ("standin/images", "image"),
];

/// The date of [`CREATED`].
const FIRST_DAY: &str = "2026-01-01T00:00:00Z";
