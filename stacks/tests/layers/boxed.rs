//! The whole stack in a box: `BoxCloneSyncService` and similar types.

use futures::future::join_all;
use http::{Request, Response};
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt,
    util::{BoxCloneService, BoxCloneSyncService, BoxService},
};
use tower_together::{TogetherLayer, body::Whole, extension::Waited, rate_limit::ResponseBody};

use crate::server::{Body, Server, chat, every};

type LayeredResponse = Response<Whole<ResponseBody<Body>>>;

#[tokio::test(start_paused = true)]
async fn a_box_of_the_whole_is_a_client_by_one_name_whose_clones_share_the_limit() {
    let server = Server::new(100);
    let boxed: BoxCloneSyncService<Request<Body>, LayeredResponse, BoxError> =
        ServiceBuilder::new()
            .layer(BoxCloneSyncService::layer())
            .layer(TogetherLayer::from(every(5)))
            .service(server.client());
    let calls = join_all((0..3).map(|_| boxed.clone().oneshot(chat()))).await;
    let waited = calls.iter().filter(|call| {
        call.as_ref()
            .unwrap()
            .extensions()
            .get::<Waited>()
            .is_some()
    });
    assert_eq!(waited.count(), 2);
    assert_eq!(server.left(), [0, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_box_that_can_be_cloned_goes_inside_and_any_box_outside() {
    let server = Server::new(100);
    let inside = BoxCloneService::new(server.client());
    let client = TogetherLayer::from(every(5)).layer(inside);
    let outside = BoxService::new(client.clone());
    outside.oneshot(chat()).await.unwrap();
    client.oneshot(chat()).await.unwrap();
    assert_eq!(server.left(), [0, 5]);
}
