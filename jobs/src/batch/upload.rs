//! A file, as a form.

use bytes::Bytes;

/// The type of the form, and the form. The boundary is in no file.
pub(super) fn form(boundary: &str, name: &str, file: &str) -> (String, Bytes) {
    let mut form = String::with_capacity(file.len() + 1024);
    for (field, value) in [("purpose", "batch-api"), ("file_name", name)] {
        form += &format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
        );
    }
    form += &format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         content-type: application/jsonl\r\n\r\n"
    );
    form += file;
    form += &format!("\r\n--{boundary}--\r\n");
    let kind = format!("multipart/form-data; boundary={boundary}");
    (kind, Bytes::from(form))
}
