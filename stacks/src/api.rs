//! Code that the examples share, so that each shows only its stack.

use std::{env, error::Error, fmt, io, iter, time::Duration};

use http::{Extensions, Request, StatusCode};
use together_standin::StandIn;
use tower_together::{ApiError, Rejected, extension::Waited};

/// A chat of a few words.
pub const CHAT: &str = r#"{
    "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo", "max_tokens": 16,
    "messages": [{"role": "user", "content": "Say hello."}]
}"#;

/// Together AI if `TOGETHER_API_KEY` is set, otherwise the stand-in, which lives as long as this value.
#[derive(Debug)]
pub struct Api {
    /// The base URL without the version: `https://api.together.ai`.
    pub url: String,
    /// The key, without `Bearer`.
    pub key: String,
    _standin: Option<StandIn>,
}

impl Api {
    /// Chooses the API by the environment.
    ///
    /// # Errors
    /// If the stand-in finds no free port.
    pub async fn from_env() -> io::Result<Self> {
        if let Some(key) = env::var("TOGETHER_API_KEY")
            .ok()
            .filter(|key| !key.is_empty())
        {
            let url = "https://api.together.ai".to_owned();
            return Ok(Self {
                url,
                key,
                _standin: None,
            });
        }
        let standin = StandIn::start().await?;
        Ok(Self {
            url: standin.url(),
            key: "none-is-needed".to_owned(),
            _standin: Some(standin),
        })
    }

    /// The URL for chat completions.
    pub fn chats(&self) -> String {
        format!("{}/v1/chat/completions", self.url)
    }

    /// A request for [`CHAT`].
    pub fn chat<B: From<&'static str>>(&self) -> Request<B> {
        Request::post(self.chats())
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("user-agent", "tower-together-examples")
            .body(B::from(CHAT))
            .expect("all of it is valid")
    }
}

/// Prints how a request went, and how long it was held back. All reports of the layers are in the response's
/// extensions.
///
/// # Errors
/// The server's message, if the response is an error.
#[expect(clippy::print_stdout, reason = "it is the examples' output")]
pub fn report(status: StatusCode, extensions: &Extensions) -> Result<(), ExampleError> {
    if let Some(rejected) = extensions.get::<Rejected>() {
        println!("{status}: {rejected}");
        return Ok(());
    }
    if let Some(error) = extensions.get::<ApiError>() {
        return Err(error.clone().into());
    }
    let waited = extensions.get::<Waited>().map(|waited| waited.duration());
    match waited.unwrap_or(Duration::ZERO).as_millis() {
        0 => println!("{status}"),
        waited => println!("{status}, held back for {waited} ms"),
    }
    Ok(())
}

/// The reason why an example ended early, in one line.
pub struct ExampleError(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for ExampleError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// `main`'s error is printed with `Debug`.
impl fmt::Debug for ExampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: &(dyn Error + 'static) = &*self.0;
        let chain = iter::successors(Some(first), |&error| error.source());
        let words: Vec<_> = chain.map(ToString::to_string).collect();
        f.write_str(&words.join(": "))
    }
}
