//! Messages of errors that come each time.

use std::error::Error;

/// Why an error of connecting would come each time, if it would, of one that has no public type but a text of
/// its own.
pub(super) fn lasting_text(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let text = error.to_string();
    let mut known = LASTING.iter();
    let (_, why) = known.find(|(says, _)| text.contains(says))?;
    Some(why)
}

/// Messages of connection errors, and what each means.
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
    // hyper-util's Tunnel, which does not tell one rejection of CONNECT from another
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
