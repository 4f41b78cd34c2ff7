//! Texts of permanent errors.

use std::error::Error;

/// Why a connection error is permanent, if it is. Used for errors that have a text but no public type.
pub(super) fn lasting_text(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let text = error.to_string();
    let mut known = LASTING.iter();
    let (_, why) = known.find(|(says, _)| text.contains(says))?;
    Some(why)
}

/// Texts of connection errors, each with its explanation.
const LASTING: [(&str, &str); 9] = [
    // rustls
    (
        "invalid peer certificate",
        "the server's certificate is not trusted: add its authority to the client's roots",
    ),
    (
        "corrupt message of type InvalidContentType",
        "the server does not speak TLS at this port: use http://, or another port",
    ),
    // hyper-util's HttpConnector
    (
        "scheme is not http",
        "the client's connector knows no TLS: give it one for https, such as hyper-rustls's",
    ),
    ("scheme is missing", NO_HOST),
    ("host is missing", NO_HOST),
    // hyper-rustls
    (
        "unsupported scheme",
        "the client's connector does not allow this scheme: use https://",
    ),
    ("missing scheme", NO_HOST),
    // hyper-util's Tunnel, which does not distinguish rejections of CONNECT
    (
        "tunnel error: proxy authorization required",
        "the proxy wants a name and a password: add them to its URL",
    ),
    (
        "tunnel error: unsuccessful",
        "the proxy does not connect to this host: check its rules",
    ),
];

pub(super) const NO_HOST: &str = "the request's URI has no scheme or host: write it whole, as in https://api.together.ai/v1/models";
