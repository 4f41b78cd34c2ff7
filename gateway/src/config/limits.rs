//! `--limit`: the limits of an endpoint, or of one of its models.

use tower_together::{Endpoint, Limits, Quota};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct LimitArg {
    endpoint: Endpoint,
    model: Option<String>,
    most: Most,
}

#[derive(Clone, Copy, Debug)]
enum Most {
    Requests(Quota),
    Tokens(Quota),
    None,
}

impl LimitArg {
    /// Parses `ENDPOINT=N` or `ENDPOINT/MODEL=N`, with `Ntokens` or `none` in place of `N`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = "write it as embeddings=300, embeddings=500000tokens or embeddings/MODEL=60";
        // A model's name may contain `=`.
        let (names, most) = text.rsplit_once('=').ok_or(wrong)?;
        let (name, model) = match names.split_once('/') {
            Some((name, model)) => (name, Some(model.to_owned())),
            None => (names, None),
        };
        let endpoint = LIMITED.iter().find(|endpoint| endpoint.name() == name);
        let endpoint = endpoint.ok_or_else(|| {
            let names = LIMITED.map(Endpoint::name).join(", ");
            format!("write one of {names} before the =")
        })?;
        let most = Most::parse(most)?;
        if matches!((&model, most), (Some(_), Most::None)) {
            return Err(
                "no endpoint limits a model that is exempt: write --exempt MODEL".to_owned(),
            );
        }
        Ok(Self {
            endpoint: *endpoint,
            model,
            most,
        })
    }

    pub(crate) fn add_to(&self, limits: Limits) -> Limits {
        let Some(model) = &self.model else {
            return self.of_endpoint(limits);
        };
        limits.for_model(model, self.of_endpoint(Limits::none()))
    }

    fn of_endpoint(&self, limits: Limits) -> Limits {
        match self.most {
            Most::Requests(quota) => limits.requests(self.endpoint, quota),
            Most::Tokens(quota) => limits.tokens(self.endpoint, quota),
            Most::None => limits.without(self.endpoint),
        }
    }
}

impl Most {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let tokens = text.strip_suffix("tokens");
        let number = tokens.unwrap_or(text).trim().parse();
        let number = number.map_err(
            |_| "write requests a minute after the =, tokens a minute as 500000tokens, or none",
        )?;
        let quota = Quota::per_minute(number).map_err(|error| error.to_string())?;
        Ok(match tokens {
            Some(_) => Self::Tokens(quota),
            None => Self::Requests(quota),
        })
    }
}

/// The inference endpoints, which are the endpoints with rate limits.
const LIMITED: [Endpoint; 9] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Rerank,
    Endpoint::Images,
    Endpoint::Speech,
    Endpoint::Transcriptions,
    Endpoint::Translations,
    Endpoint::VideoCreate,
];
