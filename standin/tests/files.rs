//! Files: how they are uploaded, shown and deleted.

mod common;

use common::{
    Caller,
    jobs::{post_form, raw, server, upload},
};
use serde_json::json;
use together_standin::Jobs;

#[tokio::test]
async fn a_file_is_kept_shown_and_deleted_and_is_its_key_s_own() {
    let (server, caller) = server(Jobs::default()).await;
    let id = upload(&server, "fine-tune", "{}\n{}\n").await;
    let path = format!("/v1/files/{id}");
    assert_eq!(caller.get(&path).await.json()["LineCount"], 2);
    assert_eq!(
        &caller.get(&format!("{path}/content")).await.body[..],
        b"{}\n{}\n"
    );
    let files = caller.get("/v1/files").await.json();
    assert_eq!(files["data"][0]["id"], id);
    assert_eq!(files["has_more"], false);
    let other = caller
        .send("GET", &path, Some("Bearer other"), String::new())
        .await;
    assert_eq!(other.error().0, 404);
    assert_eq!(
        caller.send("GET", &path, None, String::new()).await.status,
        401
    );
    let deleted = caller
        .send("DELETE", &path, Some("Bearer key"), String::new())
        .await;
    assert_eq!(deleted.json(), json!({"id": id, "deleted": true}));
    assert_eq!(caller.get(&path).await.status, 404);
    assert_eq!(raw(&server, "--cut--\r\n".to_owned()).await.status, 400);
}

#[tokio::test]
async fn a_file_can_be_put_where_the_server_redirects_to() {
    let (server, caller) = server(Jobs::default()).await;
    let form = [
        "purpose\"\r\n\r\nfine-tune",
        "file_name\"\r\n\r\nsome.jsonl",
    ];
    let field = |field| format!("--cut\r\ncontent-disposition: form-data; name=\"{field}\r\n");
    let form = form.map(field).concat() + "--cut--\r\n";
    for caller in [&caller, &Caller::http2(&server)] {
        let announced = post_form(caller, "/v1/files", form.clone()).await;
        assert_eq!(announced.status, 302);
        let id = announced.header("x-together-file-id").unwrap();
        let storage = announced.header("location").unwrap();
        let storage = storage.strip_prefix(&server.url()).unwrap();
        let preprocess = format!("/v1/files/{id}/preprocess");
        let finish = || caller.send("POST", &preprocess, Some("Bearer key"), String::new());
        assert_eq!(finish().await.error().0, 404);
        // A caller has no key there, and its file may be larger than what most servers take.
        let put = |content: String| caller.send("PUT", storage, None, content);
        let content = "{}\n".repeat(1 << 20);
        assert_eq!(put(content.clone()).await.status, 200);
        assert_eq!(put(content.clone()).await.status, 404);
        let file = finish().await.json();
        assert_eq!(
            (&file["id"], &file["purpose"], &file["filename"]),
            (&json!(id), &json!("fine-tune"), &json!("some.jsonl"))
        );
        let kept = caller.get(&format!("/v1/files/{id}/content")).await;
        assert!(kept.body == content.as_bytes());
    }
    assert_eq!(
        caller.get("/v1/files").await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let none = caller.send("PUT", "/standin/storage/file-x", None, "{}".to_owned());
    assert_eq!(none.await.status, 404);
    let json = caller
        .post("/v1/files", &json!({"purpose": "fine-tune"}))
        .await;
    assert_eq!(json.error().0, 400);
}

#[tokio::test]
async fn a_form_with_a_file_in_it_needs_no_storage() {
    let (server, caller) = server(Jobs::default()).await;
    let form = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n\
                {}\r\n--cut--\r\n";
    let file = post_form(&caller, "/v1/files", form.to_owned()).await;
    assert_eq!(
        (file.status.as_u16(), &file.json()["filename"]),
        (200, &json!("a.jsonl"))
    );
    let id = file.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        &caller.get(&format!("/v1/files/{id}/content")).await.body[..],
        b"{}"
    );
    drop(server);
}
