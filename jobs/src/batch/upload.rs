//! A file, as a form.

use bytes::Bytes;

/// The type of the form, and the form.
pub(super) fn form(name: &str, file: &str) -> (String, Bytes) {
    // 128 random bits are in no file.
    let boundary = format!("{:032x}", fastrand::u128(..));
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
