//! The lines that the gateway prints when it starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{gateway::Gateway, say::say};

/// Prints what to do next.
pub(crate) fn greet(address: SocketAddr, gateway: &Gateway, demo: bool) {
    let target = &gateway.target;
    let name = target.name();
    if target.is_overheard() {
        say(&format!(
            "warning: the key goes to {name} unencrypted, and whoever is on the way can read it: use \
             https://"
        ));
    }
    if target.stand_in().is_none() {
        say(&format!(
            "calls go to {name}; the page is http://{address}/"
        ));
        return;
    }
    say("no TOGETHER_API_KEY: serving a stand-in for Together AI, started inside this program");
    say(&format!("the page: http://{address}/"));
    let token = match gateway.access.wants_token() {
        true => " -H 'authorization: Bearer TOKEN'",
        false => "",
    };
    say(&format!(
        "to try it: curl -N http://{address}/v1/chat/completions{token} \
         -H 'content-type: application/json' \
         -d '{{\"model\":\"a-model\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
    ));
    if !demo {
        say("with --demo it makes up traffic to look at");
    }
}

/// The address at which this machine reaches the gateway, if it listens on all addresses.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
