//! Whether a 503 states that its request was not processed.

/// Whether `message` states that nothing was done (RFC 9110, section 9.2.2). `shaped` tells whether its body
/// has the shape of the API's errors.
///
/// Envoy, in front of the API, also responds with 503 when a connection breaks after the request was forwarded.
pub(super) fn states_so(message: &str, shaped: bool) -> bool {
    if !message.starts_with(ENVOY) {
        return shaped || message.eq_ignore_ascii_case("no healthy upstream");
    }
    let Some((before, reason)) = message.split_once("reset reason: ") else {
        return false;
    };
    let sides = ["local ", "remote "];
    let side = sides.iter().find_map(|side| reason.strip_prefix(side));
    let reason = side.unwrap_or(reason);
    // The attempts before the latest one may have been forwarded.
    let only = !before.ends_with("the latest ");
    only && NOT_FORWARDED.iter().any(|why| reason.starts_with(why))
}

/// The beginning of Envoy's own 503 (envoy, `source/common/router/router.cc`).
const ENVOY: &str = "upstream connect error";

/// Reasons that precede the request (envoy, `source/common/http/utility.cc`, `resetReasonToString`), or that
/// state that the server has not processed it (RFC 9113, section 8.7).
const NOT_FORWARDED: [&str; 3] = ["connection failure", "overflow", "refused stream reset"];
