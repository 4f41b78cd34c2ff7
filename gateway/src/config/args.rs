//! The command line, and what comes from the environment.

use std::{
    env::{self, VarError},
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use http::Uri;
use tower_together::{Endpoint, Limits};

use crate::{config::limits::LimitArg, monitor::log::Format};

/// One key and one set of limits for many programs: point their base URL at it.
#[derive(Debug, Parser)]
#[command(name = "together-gateway", after_help = AFTER_HELP, args_override_self = true)]
pub(crate) struct Args {
    /// Where to listen; port 0 is any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8018", value_parser = socket)]
    pub(crate) listen: SocketAddr,

    /// The API's address [default: Together's with TOGETHER_API_KEY, else a stand-in's]
    #[arg(long, value_name = "URL", value_parser = address)]
    pub(crate) base_url: Option<Uri>,

    /// Speak HTTP/2 to the API; with http:// without asking first
    #[arg(long)]
    pub(crate) http2: bool,

    /// Reject at once a call that could not be sent within this time
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) max_wait: Duration,

    /// Chat completions under way at a time, each to the end of its response
    #[arg(long, value_name = "N", default_value = "512")]
    pub(crate) max_streams: NonZeroU32,

    /// Memory for the bodies of requests that come or wait
    #[arg(long, value_name = "MIB", default_value = "256", value_parser = mebibytes)]
    pub(crate) body_memory: usize,

    /// Disk for the bodies of requests that are longer than an eighth of --body-memory
    #[arg(long, value_name = "MIB", default_value = "4096", value_parser = mebibytes)]
    pub(crate) body_disk: usize,

    /// Seconds until the first byte of a streamed response; a stream that is silent for longer is ended
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub(crate) first_byte: Duration,

    /// Seconds for calls in flight to end when the gateway is asked to stop; then they are cut
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = grace)]
    pub(crate) grace: Duration,

    /// Requests a minute to an endpoint, in place of the default: ENDPOINT=N. Of one model: ENDPOINT/MODEL=N.
    /// Tokens a minute: ENDPOINT=Ntokens. No limit: ENDPOINT=none. May be given several times
    #[arg(long = "limit", value_name = "ENDPOINT=N", value_parser = LimitArg::parse)]
    pub(crate) limits: Vec<LimitArg>,

    /// A model that no limit applies to, as a dedicated endpoint; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub(crate) exempt: Vec<String>,

    /// A Redis or Valkey, as redis://HOST:6379: the gateways that use it share the limits of their key. An address
    /// with a password is better in GATEWAY_REDIS
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// A TOML file of these options, with tables `limit` and `tokens`; the command line overrules it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// One line on standard error for each call
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log: Format,

    /// A name by which programs call the gateway without GATEWAY_TOKENS, beside addresses, localhost and
    /// names without a dot; may be given for several
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Send the traffic of a few made-up programs through it, to have something to look at
    #[arg(long, conflicts_with = "base_url")]
    pub(crate) demo: bool,
}

impl Args {
    /// The limits for the API, with at most `connections` connections.
    pub(crate) fn limits(&self, connections: usize) -> Limits {
        let connections = u32::try_from(connections).ok().and_then(NonZeroU32::new);
        let streams = connections.map_or(self.max_streams, |most| most.min(self.max_streams));
        let lines = self.limits.iter();
        let limits = lines.fold(Limits::default(), |limits, line| line.add_to(limits));
        let exempt = self.exempt.iter();
        let limits = exempt.fold(limits, |limits, model| limits.exempt(model));
        limits.in_flight(Endpoint::ChatCompletions, streams)
    }
}

/// An environment variable; `None` if it is not set.
pub(crate) fn env(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        // Ignoring it would start another program than was asked for. The value is secret, so it is not shown.
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is set and is no text: copy it again")),
    }
}

fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    let named = text.strip_prefix("localhost:");
    match named.map(str::parse) {
        Some(Ok(port)) => Ok((IpAddr::from([127, 0, 0, 1]), port).into()),
        _ => text
            .parse()
            .map_err(|_| "write an address and a port, as 127.0.0.1:8018"),
    }
}

fn address(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| WRONG_ADDRESS)?;
    let login = uri
        .authority()
        .is_some_and(|host| host.as_str().contains('@'));
    match (uri.scheme_str(), uri.host(), uri.query()) {
        // Login data in the address would be shown wherever the address is.
        _ if login => Err("write it without a login: the key goes into TOGETHER_API_KEY"),
        (Some("http" | "https"), Some(_), None) => Ok(uri),
        _ => Err(WRONG_ADDRESS),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(wait)) if !wait.is_zero() => Ok(wait),
        _ => Err("write a number of seconds above 0, as 60 or 2.5"),
    }
}

/// The grace period. Its default is less than the 10 s that containers have before they are killed.
fn grace(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(grace)) if grace <= LONGEST_GRACE => Ok(grace),
        _ => Err("write a number of seconds from 0 to 3600, as 30"),
    }
}

fn mebibytes(text: &str) -> Result<usize, String> {
    let known = text.parse().ok().filter(|size| (1..=MOST).contains(size));
    known
        .map(|size: usize| size * 1024 * 1024)
        .ok_or_else(|| format!("write a number of mebibytes from 1 to {MOST}, as 256"))
}

const LONGEST_GRACE: Duration = Duration::from_secs(3_600);
/// The most that a semaphore can count.
const MOST: usize = if usize::BITS > 32 { 16_384 } else { 511 };
const WRONG_ADDRESS: &str = "write it as https://HOST/v1";
const AFTER_HELP: &str = "\
With TOGETHER_API_KEY in the environment it calls Together AI with that key, for everybody who may
reach it; without, and without --base-url, a stand-in inside the program, which costs nothing.

GATEWAY_TOKENS=tom=TOKEN,ann=ANOTHER lets in only programs that send one of these tokens in place of
an API key; the page, the metrics and the log name them. Without it the gateway listens on this
machine alone. The page and its numbers want one too, except from this machine: in a browser it is the
password, with any name.

GATEWAY_REDIS=URL is --redis, for an address with a password, which other users of the machine could
read on a command line.

The first line on standard output is `listening on http://ADDR`. Programs use http://ADDR/v1 as
their base URL; GET / is a page for people, /lanes is its data, /metrics is for Prometheus, /healthz
and /readyz are for orchestrators.

SIGTERM and Ctrl-C reject queued calls with 503 and Retry-After, and give calls in flight --grace
seconds to end. A second one ends the gateway at once.
The exit status is 0; 2 if the gateway could not start; 3 if it cut calls; 130 after the second Ctrl-C.";
