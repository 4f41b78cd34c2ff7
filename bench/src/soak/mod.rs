//! Requests over sockets for as long as one likes, with everything that goes wrong: memory and descriptors must not grow.

mod client;
mod look;
mod server;

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{
    task::{JoinSet, LocalSet},
    time::sleep,
};
use tower::Layer;
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherLayer};

pub use self::look::Look;
use self::{client::Client, look::growth};
use crate::{calls::runtime_with_sockets, loopback::hyper_client};

/// Sends requests for some time, and calls `show` twenty times meanwhile.
///
/// # Errors
///
/// Tells what has grown since the first half, or that nothing was sent.
pub fn soak(time: Duration, mut show: impl FnMut(&Look)) -> Result<(), String> {
    let address = server::start();
    let limiter = Limiter::new(limits()).with_max_keys(KEYS);
    let layer = TogetherLayer::from(limiter.clone()).with_max_retries(2);
    let service = layer.layer(hyper_client());
    let (over, requests) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    LocalSet::new().block_on(&runtime_with_sockets(), async {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::new(number, service.clone(), address);
            clients.spawn_local(client.run(Rc::clone(&over), Rc::clone(&requests)));
        }
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            sleep(time / LOOKS).await;
            let look = Look::now(&limiter, requests.get())?;
            show(&look);
            looks.push(look);
        }
        over.set(true);
        while let Some(client) = clients.join_next().await {
            client.map_err(|error| error.to_string())?;
        }
        let waiting = limiter.snapshot().waiting;
        match growth(&looks, (KEYS + KEYS / 64) as u64) {
            None if waiting > 0 => Err(format!("{waiting} requests wait at the end")),
            None => Ok(()),
            Some(growth) => Err(growth),
        }
    })
}

/// Some requests wait, for each kind of limit.
fn limits() -> Limits {
    let chat = Endpoint::ChatCompletions;
    // A key is forgotten a second after its last request.
    let per_second = |max| Quota::per_second(max).expect("it is not zero");
    Limits::none()
        .requests(chat, per_second(20))
        .tokens(chat, per_second(2_000))
        .in_flight(chat, 4.try_into().expect("it is not zero"))
}

/// Far more than these come.
const KEYS: usize = 100;
const CLIENTS: u32 = 32;
const LOOKS: u32 = 20;
