//! Files, as they were uploaded and as batches have made them.

use std::collections::BTreeMap;

use axum::{body::Bytes, http::StatusCode};
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct Files {
    all: BTreeMap<String, File>,
    /// Files whose bytes have not come. No request finds them.
    announced: BTreeMap<String, File>,
    made: u64,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) owner: u64,
    name: String,
    purpose: String,
    pub(super) bytes: Bytes,
}

impl Files {
    /// Keeps a file; `None` if there is no room for it.
    pub(super) fn add(
        &mut self,
        owner: u64,
        name: &str,
        purpose: &str,
        bytes: Bytes,
    ) -> Option<String> {
        let id = self.announce(owner, name, purpose);
        self.fill(&id, bytes).is_success().then_some(id)
    }

    /// Gives an id to a file whose bytes come later.
    pub(super) fn announce(&mut self, owner: u64, name: &str, purpose: &str) -> String {
        self.made += 1;
        let id = format!("file-{:08x}-0000-4000-8000-000000000000", self.made);
        let file = File {
            owner,
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            bytes: Bytes::new(),
        };
        self.announced.insert(id.clone(), file);
        id
    }

    /// Keeps the bytes of a file that was announced, once.
    pub(super) fn fill(&mut self, id: &str, bytes: Bytes) -> StatusCode {
        let Some(mut file) = self.announced.remove(id) else {
            return StatusCode::NOT_FOUND;
        };
        let kept: usize = self.all.values().map(|file| file.bytes.len()).sum();
        if kept + bytes.len() > MOST {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        file.bytes = bytes;
        self.all.insert(id.to_owned(), file);
        StatusCode::OK
    }

    pub(super) fn of(&self, owner: u64, id: &str) -> Option<&File> {
        self.all.get(id).filter(|file| file.owner == owner)
    }

    pub(super) fn remove(&mut self, owner: u64, id: &str) -> bool {
        self.of(owner, id).is_some() && self.all.remove(id).is_some()
    }

    pub(super) fn list(&self, owner: u64) -> Value {
        let own = self.all.iter().filter(|(_, file)| file.owner == owner);
        // Without `has_more` the SDK of OpenAI asks for the next page for ever.
        let files: Vec<_> = own.map(|(id, file)| file.json(id)).collect();
        json!({"object": "list", "data": files, "has_more": false})
    }
}

impl File {
    pub(super) fn json(&self, id: &str) -> Value {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        json!({
            "id": id,
            "object": "file",
            "filename": self.name,
            "bytes": self.bytes.len(),
            "created_at": 1_767_225_600,
            "purpose": self.purpose,
            "FileType": "jsonl",
            "Processed": true,
            "LineCount": lines.filter(|line| !line.is_empty()).count(),
        })
    }
}

/// Bytes of all files together.
const MOST: usize = 1 << 30;
