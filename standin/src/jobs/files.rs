//! Files, as they were uploaded and as batches have made them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct Files {
    all: BTreeMap<String, File>,
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
        let kept: usize = self.all.values().map(|file| file.bytes.len()).sum();
        if kept + bytes.len() > MOST {
            return None;
        }
        self.made += 1;
        let id = format!("file-{:08x}-0000-4000-8000-000000000000", self.made);
        let file = File {
            owner,
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            bytes,
        };
        self.all.insert(id.clone(), file);
        Some(id)
    }

    pub(super) fn of(&self, owner: u64, id: &str) -> Option<&File> {
        self.all.get(id).filter(|file| file.owner == owner)
    }

    pub(super) fn remove(&mut self, owner: u64, id: &str) -> bool {
        self.of(owner, id).is_some() && self.all.remove(id).is_some()
    }

    pub(super) fn list(&self, owner: u64) -> Value {
        let own = self.all.iter().filter(|(_, file)| file.owner == owner);
        json!({"data": own.map(|(id, file)| file.json(id)).collect::<Vec<_>>()})
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
