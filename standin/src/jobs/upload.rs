//! A file in a form.

use axum::{
    body::{Body, Bytes},
    http::{header::CONTENT_TYPE, request::Parts},
};
use multer::Multipart;

use crate::route::unversioned;

/// The form of `POST /files/upload` and `POST /files`.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(super) name: String,
    pub(super) purpose: String,
    /// `None` if they are put into storage later.
    pub(super) bytes: Option<Bytes>,
}

impl Upload {
    /// Reads it, if the request is one and what it says is complete.
    pub(crate) async fn read(head: &Parts, body: &[u8]) -> Option<Self> {
        let path = unversioned(head.uri.path());
        if head.method != "POST" || !matches!(path, "/files" | "/files/upload") {
            return None;
        }
        let boundary = multer::parse_boundary(head.headers.get(CONTENT_TYPE)?.to_str().ok()?);
        let body = Body::from(body.to_vec()).into_data_stream();
        let mut form = Multipart::new(body, boundary.ok()?);
        let (mut name, mut purpose, mut bytes) = (None, None, None);
        while let Ok(Some(field)) = form.next_field().await {
            match field.name().map(str::to_owned).as_deref() {
                Some("file_name") => name = Some(field.text().await.ok()?),
                Some("purpose") => purpose = Some(field.text().await.ok()?),
                Some("file") => {
                    let given = field.file_name().map(str::to_owned);
                    bytes = Some(field.bytes().await.ok()?);
                    name = name.or(given);
                }
                _ => {}
            }
        }
        Some(Self {
            name: name?,
            purpose: purpose?,
            bytes,
        })
    }
}
