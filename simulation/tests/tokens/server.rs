//! A network, with a server that counts tokens, and reports how many.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Frame;
use http_body_util::StreamBody;
use testing::now;
use tokio::time::{Instant, sleep};

/// The way it counts: a bucket of one second's tokens, which may run into debt, and rejects while it is empty. A
/// variant says when a request's cost is taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// All of it when the request arrives, as if the server already knew the length of the response.
    AtOnce,
    /// The prompt when the request arrives, and the rest with the response.
    AsItGoes,
    /// All of it when the request arrives, and the bucket must hold it whole.
    Strictly,
}

/// The information that it sends about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// The wait, on rejections.
    Wait,
    /// The tokens per second, and those left, on every response.
    Limits,
    /// The tokens per minute, in the message of a rejection.
    Words,
}

/// The server, as its clients see it.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<World>>);

struct World {
    counts: Counts,
    says: Says,
    /// Tokens a second, and the most that are saved up.
    rate: f64,
    level: f64,
    filled: Instant,
    random: fastrand::Rng,
    outcome: Outcome,
}

/// The outcomes of the requests that reached the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) accepted: u32,
    pub(crate) rejected: u32,
    pub(crate) tokens: f64,
}

impl Server {
    pub(crate) fn new(counts: Counts, says: Says, per_minute: u32, seed: u64) -> Self {
        let rate = f64::from(per_minute) / 60.0;
        Self(Arc::new(Mutex::new(World {
            counts,
            says,
            rate,
            level: rate,
            filled: now(),
            random: fastrand::Rng::with_seed(seed),
            outcome: Outcome::default(),
        })))
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.0.lock().unwrap().outcome
    }

    /// Sends one request to the server, and returns the response. A third of the responses are streamed.
    pub(crate) async fn send(&self, prompt: u64, max_tokens: u64) -> ServerResponse {
        sleep(self.between(DELAY)).await;
        let prompt = prompt as f64 * self.number(0.85, 1.15);
        let output = self.output(max_tokens);
        let (accepted, said) = self.0.lock().unwrap().arrival(prompt, output);
        let response = said
            .into_iter()
            .fold(Response::builder(), |response, said| {
                response.header(said.0, said.1.to_string())
            });
        if let Err(seconds) = accepted {
            sleep(REJECTS + self.between(DELAY)).await;
            let response = response
                .status(StatusCode::TOO_MANY_REQUESTS)
                .header(RETRY_AFTER, seconds);
            let error = self.0.lock().unwrap().rejection();
            return response.body(body(vec![error], Duration::ZERO)).unwrap();
        }
        let thinks = self.between(THINKS);
        let streamed = self.number(0.0, 3.0) < 1.0;
        let half = if streamed { thinks / 2 } else { Duration::ZERO };
        sleep(thinks - half + self.between(DELAY)).await;
        self.0.lock().unwrap().responded(output);
        let usage = format!(
            r#"{{"prompt_tokens":{prompt:.0},"completion_tokens":{output:.0},"total_tokens":{:.0}}}"#,
            prompt + output
        );
        let (kind, frames) = if streamed {
            ("text/event-stream;charset=utf-8", vec![
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\"}}],\"usage\":null}\n\n".to_owned(),
                format!("data: {{\"choices\":[{{\"finish_reason\":\"eos\"}}],\"usage\":{usage}}}\n\nda"),
                "ta: [DONE]\n\n".to_owned(),
            ])
        } else {
            (
                "application/json",
                vec![format!(
                    r#"{{"choices":[{{"text":"..."}}],"usage":{usage}}}"#
                )],
            )
        };
        let response = response.header(CONTENT_TYPE, kind);
        response.body(body(frames, half)).unwrap()
    }

    /// The length of a response: mostly short, and sometimes the maximum.
    fn output(&self, max_tokens: u64) -> f64 {
        let part: f64 = self.number(f64::MIN_POSITIVE, 1.0);
        (-OUTPUT * part.ln()).clamp(1.0, max_tokens as f64).round()
    }

    fn between(&self, (from, to): (f64, f64)) -> Duration {
        Duration::from_secs_f64(self.number(from, to))
    }

    pub(crate) fn number(&self, from: f64, to: f64) -> f64 {
        let random = self.0.lock().unwrap().random.f64();
        from + (to - from) * random
    }
}

impl World {
    /// The decision, accepted or rejected for this many seconds, and the headers.
    fn arrival(&mut self, prompt: f64, output: f64) -> (Result<(), u64>, Vec<(&'static str, f64)>) {
        let accepted = self.decide(prompt, output);
        let said = match self.says {
            Says::Wait | Says::Words => Vec::new(),
            Says::Limits => vec![
                ("x-ratelimit-limit-tokens", self.rate),
                ("x-ratelimit-remaining-tokens", self.level.max(0.0).floor()),
            ],
        };
        (accepted, said)
    }

    /// A body in which the API was observed to name the cause of a 429.
    fn rejection(&mut self) -> String {
        let message = match self.says {
            Says::Words => format!("Your rate limits are {:.0} TPM", self.rate * 60.0),
            Says::Wait | Says::Limits => "slow down".to_owned(),
        };
        let of = |named: &str| named.replace("MESSAGE", &message);
        of(self.random.choice(&REJECTIONS).unwrap())
    }

    fn decide(&mut self, prompt: f64, output: f64) -> Result<(), u64> {
        let now = now();
        let refilled = self.rate * (now - self.filled).as_secs_f64();
        self.level = (self.level + refilled).min(self.rate);
        self.filled = now;
        let cost = prompt + output;
        let needed = match self.counts {
            Counts::Strictly => cost.min(self.rate),
            Counts::AtOnce | Counts::AsItGoes => 1.0,
        };
        if self.level < needed {
            self.outcome.rejected += 1;
            return Err(((needed - self.level) / self.rate).ceil() as u64);
        }
        self.outcome.accepted += 1;
        self.outcome.tokens += cost;
        self.level -= match self.counts {
            Counts::AsItGoes => prompt,
            Counts::AtOnce | Counts::Strictly => cost,
        };
        Ok(())
    }

    fn responded(&mut self, output: f64) {
        if self.counts == Counts::AsItGoes {
            self.level -= output;
        }
    }
}

pub(crate) type ServerResponse =
    Response<std::pin::Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>>>;

/// A response's body, whose rest arrives after the first piece.
fn body(
    frames: Vec<String>,
    later: Duration,
) -> std::pin::Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>> {
    let frames = frames.into_iter().enumerate();
    let frames = futures::stream::unfold(frames, move |mut frames| async move {
        let (index, frame) = frames.next()?;
        if index == 1 {
            sleep(later).await;
        }
        Some((Ok(Frame::data(Bytes::from(frame))), frames))
    });
    Box::pin(StreamBody::new(frames))
}

/// One-way delays, in seconds.
const DELAY: (f64, f64) = (0.010, 0.090);
const THINKS: (f64, f64) = (0.5, 3.5);
const REJECTIONS: [&str; 3] = [
    r#"{"error":{"message":"MESSAGE","type":"dynamic_token_limited"}}"#,
    r#"{"error":{"message":"MESSAGE","type":null},"error_type":"dynamic_token_limited"}"#,
    r#"{"error":{"message":"MESSAGE","code":"dynamic_token_limited"}}"#,
];
const REJECTS: Duration = Duration::from_millis(5);
/// Tokens of a response, on average, if there were no bound.
const OUTPUT: f64 = 300.0;
