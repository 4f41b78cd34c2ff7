mod quota;
mod rule;
mod tier;

use std::{num::NonZeroU32, sync::Arc};

pub(crate) use self::rule::{Cap, Rule};
pub use self::{quota::Quota, tier::Tier};
use super::{Endpoint, Error};

/// The table of limits that a limiter applies, for each API key separately.
///
/// A request that no line of the table names is not limited.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_together::{Endpoint, Limits, Quota};
///
/// // The default table, scaled to five sixths.
/// let careful = Limits::default().scaled(500, 600)?;
///
/// // A custom table: a slow model, and a dedicated endpoint without limits.
/// let own = Limits::none()
///     .requests(Endpoint::ChatCompletions, Quota::per_minute(3_000)?)
///     .tokens(Endpoint::ChatCompletions, Quota::per_minute(500_000)?)
///     .in_flight(Endpoint::ChatCompletions, NonZeroU32::new(200).unwrap())
///     .shared(
///         [Endpoint::ChatCompletions, Endpoint::Embeddings],
///         Quota::per_minute(4_000)?,
///     )
///     .for_model(
///         "deepseek-ai/DeepSeek-R1",
///         Limits::none().requests(Endpoint::ChatCompletions, Quota::per_minute(60)?),
///     )
///     .exempt("my-project/my-dedicated-endpoint");
/// # Ok::<(), tower_together::Error>(())
/// ```
///
/// # Ceilings and starting points
///
/// A number you write is a ceiling. A number this crate supplied (`default`, `tier`) is a starting point:
/// Together's real limits are per organization, operation and model, unpublished, and they move
/// (docs.together.ai/docs/rate-limits). A lane goes above or below it as the server
/// [allows](crate::limiter#what-it-learns).
#[derive(Clone, Debug)]
pub struct Limits {
    rules: Vec<Rule>,
    exempt: Vec<Arc<str>>,
    reserves: bool,
}

impl Limits {
    /// A table without any limit.
    pub fn none() -> Self {
        Self {
            rules: Vec::new(),
            exempt: Vec::new(),
            reserves: false,
        }
    }

    /// Together's published table of a build tier: requests and tokens per minute of chat,
    /// embeddings, rerank, images and video, and DeepSeek-R1's own.
    pub fn tier(tier: Tier) -> Self {
        use Endpoint::{ChatCompletions, Completions, Embeddings, Images, Rerank, VideoCreate};
        let row = tier.row();
        let mut limits = Self::none()
            .requests(ChatCompletions, per_minute(row.chat.0))
            .tokens(ChatCompletions, per_minute(row.chat.1))
            .requests(Completions, per_minute(row.chat.0))
            .tokens(Completions, per_minute(row.chat.1))
            .requests(Embeddings, per_minute(row.embeddings.0))
            .tokens(Embeddings, per_minute(row.embeddings.1));
        if let Some((requests, tokens)) = row.rerank {
            limits = limits
                .requests(Rerank, per_minute(requests))
                .tokens(Rerank, per_minute(tokens));
        }
        if let Some(images) = row.images {
            limits = limits.requests(Images, per_minute(images));
        }
        if let Some(video) = row.video {
            limits = limits.requests(VideoCreate, per_minute(video));
        }
        if let Some(r1) = row.deepseek_r1 {
            limits = limits.for_model(
                "deepseek-ai/DeepSeek-R1",
                Self::none().requests(ChatCompletions, per_minute(r1)),
            );
        }
        limits.supplied()
    }

    /// At most `quota` requests to `endpoint`, whatever the model.
    ///
    /// If `quota` is larger than a quota that this crate guessed for the endpoint and others together, the
    /// guess no longer applies to the endpoint. A [shared](Limits::shared) quota that you wrote still does.
    #[must_use]
    pub fn requests(self, endpoint: Endpoint, quota: Quota) -> Self {
        self.set(vec![endpoint], Cap::Requests(quota))
    }

    /// At most `quota` tokens to `endpoint`, prompts and responses together. A window may exceed it by the
    /// cost of one request, and by as much as responses cost more than expected.
    ///
    /// For a chat completion, completion, embeddings or rerank request the layers
    /// [read](crate::rate_limit#tokens) the expected cost from the request, and settle it when the response
    /// states the cost. Requests to other endpoints, and requests without the layers, count only if they
    /// state their cost ([`Cost`](crate::extension::Cost),
    /// [`Call::with_tokens`](crate::limiter::Call::with_tokens)).
    #[must_use]
    pub fn tokens(self, endpoint: Endpoint, quota: Quota) -> Self {
        self.set(vec![endpoint], Cap::Tokens(quota))
    }

    /// At most `max` requests to `endpoint` in flight, from departure to the end of the response's body.
    ///
    /// A WebSocket outlives its response. Its slot comes free with the response, unless the caller keeps the
    /// response's [`Slot`](crate::limiter::Slot) for as long as the socket.
    #[must_use]
    pub fn in_flight(self, endpoint: Endpoint, max: NonZeroU32) -> Self {
        self.set(vec![endpoint], Cap::InFlight(max))
    }

    /// At most `max` jobs at once that requests to `endpoint` create. [`without`](Limits::without) removes
    /// the limit.
    ///
    /// A job's slot is taken before the request departs. A fine-tune or batch keeps its slot [until it is
    /// known to have ended](crate::jobs). The slot of any other job is given back at the end of the
    /// response's body. If [`Permit::hold_for_job`](crate::limiter::Permit::hold_for_job) names the job, its
    /// slot is given back when [`Limiter::job_ended`](crate::Limiter::job_ended) names it again.
    #[must_use]
    pub fn jobs(self, endpoint: Endpoint, max: NonZeroU32) -> Self {
        self.set(vec![endpoint], Cap::Jobs(max))
    }

    /// At most `quota` requests to all of `endpoints` together, in addition to the limits of each.
    #[must_use]
    pub fn shared(self, endpoints: impl IntoIterator<Item = Endpoint>, quota: Quota) -> Self {
        self.set(endpoints.into_iter().collect(), Cap::Requests(quota))
    }

    /// At most `quota` tokens to all of `endpoints` together, in addition to the limits of each.
    #[must_use]
    pub fn shared_tokens(
        self,
        endpoints: impl IntoIterator<Item = Endpoint>,
        quota: Quota,
    ) -> Self {
        self.set(endpoints.into_iter().collect(), Cap::Tokens(quota))
    }

    /// Sets limits for one model. Each line of `limits` replaces the line of the same endpoints and kind for
    /// requests that name this model. Lines that are not replaced apply to the model too. The exempt models
    /// of `limits` are ignored.
    #[must_use]
    pub fn for_model(mut self, model: &str, limits: Limits) -> Self {
        let model: Arc<str> = model.into();
        for mut rule in limits.rules {
            rule.model = Some(Arc::clone(&model));
            self.put(rule);
        }
        self
    }

    /// Passes requests to this model without a limit. "No hard rate limits" apply to dedicated endpoints,
    /// which are named like models (`project/endpoint`).
    #[must_use]
    pub fn exempt(mut self, model: &str) -> Self {
        self.exempt.push(model.into());
        self
    }

    /// Removes `endpoint` from every line, shared ones included.
    #[must_use]
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        for rule in &mut self.rules {
            rule.endpoints.retain(|named| *named != endpoint);
        }
        self.rules.retain(|rule| !rule.endpoints.is_empty());
        self
    }

    /// Charges a request all the tokens that its `max_tokens` or `max_completion_tokens` allow, until its
    /// response states the cost. This is for servers that count so, as OpenAI's do. A request whose prompt
    /// and `max_tokens` together exceed a token quota never fits then, and is rejected.
    ///
    /// Default: the recent mean length of the lane's responses, and no more than the request allows.
    #[must_use]
    pub fn reserve_max_tokens(mut self) -> Self {
        self.reserves = true;
        self
    }

    /// Scales every quota to `part / whole`, as a safety margin: `scaled(500, 600)?`.
    ///
    /// # Errors
    ///
    /// If `part` is 0 or more than `whole`.
    pub fn scaled(self, part: u32, whole: u32) -> Result<Self, Error> {
        self.keep(|_| true, part, whole)
    }

    /// The former name of [`scaled`](Self::scaled).
    ///
    /// # Errors
    ///
    /// As `scaled`.
    #[deprecated(since = "0.1.0", note = "renamed `scaled`")]
    pub fn keep_to(self, part: u32, whole: u32) -> Result<Self, Error> {
        self.scaled(part, whole)
    }

    /// Scales every quota that `endpoint` alone uses to `part / whole`.
    ///
    /// # Errors
    ///
    /// If `part` is 0 or more than `whole`.
    pub fn keep_endpoint_to(
        self,
        endpoint: Endpoint,
        part: u32,
        whole: u32,
    ) -> Result<Self, Error> {
        self.keep(|rule| rule.endpoints == [endpoint], part, whole)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn reserves(&self) -> bool {
        self.reserves
    }

    /// Whether requests to this model pass without a limit.
    pub(crate) fn exempts(&self, model: &str) -> bool {
        self.exempt.iter().any(|exempt| **exempt == *model)
    }

    fn keep(mut self, which: impl Fn(&Rule) -> bool, part: u32, whole: u32) -> Result<Self, Error> {
        for rule in self.rules.iter_mut().filter(|rule| which(rule)) {
            if let Cap::Requests(quota) | Cap::Tokens(quota) = &mut rule.cap {
                *quota = quota.scaled(part, whole)?;
            }
        }
        Ok(self)
    }

    fn set(mut self, mut endpoints: Vec<Endpoint>, cap: Cap) -> Self {
        endpoints.sort_unstable();
        endpoints.dedup();
        // The user allows more than this crate's guess at a shared quota, so the guess is wrong.
        if let [endpoint] = endpoints[..] {
            self.rules.retain_mut(|rule| {
                let shares = rule.endpoints.len() > 1 && rule.endpoints.contains(&endpoint);
                if !rule.ceiling && shares && cap.allows_more_than(&rule.cap) {
                    rule.endpoints.retain(|named| *named != endpoint);
                }
                // A shared quota of one endpoint is removed.
                !shares || rule.endpoints.len() > 1
            });
        }
        self.put(Rule {
            endpoints,
            model: None,
            cap,
            ceiling: true,
        });
        self
    }

    /// Adds a rule, and replaces any rule about the same thing.
    fn put(&mut self, rule: Rule) {
        match self.rules.iter_mut().find(|old| old.is_about(&rule)) {
            Some(old) => *old = rule,
            None => self.rules.push(rule),
        }
    }

    /// Marks the numbers as supplied by this crate, and not by the user.
    fn supplied(mut self) -> Self {
        for rule in &mut self.rules {
            rule.ceiling = false;
        }
        self
    }
}

impl Default for Limits {
    /// The table that this crate starts from, for each API key:
    ///
    /// | requests to | at most |
    /// |---|---|
    /// | chat completions; completions | 600 a minute each |
    /// | embeddings | 300 a minute |
    /// | all three together | 600 a minute |
    /// | image generation | 60 a minute |
    /// | fine-tune jobs | 3 at once |
    /// | batches | 10 at once |
    ///
    /// 600 and 60 a minute are what Together published for its first paid tier and as the base of its dynamic
    /// limits (docs.together.ai/docs/rate-limits, 2025 and early 2026). The rest has no official number and
    /// is deliberately cautious.
    ///
    /// A job counts from before its create request departs until it is known to have [ended](crate::jobs). A
    /// limiter does not read the file of a batch: `Batches` of `tower-together-jobs` puts at most 100
    /// requests in one.
    fn default() -> Self {
        use Endpoint::{
            BatchCreate, ChatCompletions, Completions, Embeddings, FineTuneCreate, Images,
        };
        Self::none()
            .requests(ChatCompletions, per_minute(600))
            .requests(Completions, per_minute(600))
            .requests(Embeddings, per_minute(300))
            .shared([ChatCompletions, Completions, Embeddings], per_minute(600))
            .requests(Images, per_minute(60))
            .jobs(FineTuneCreate, FINE_TUNES)
            .jobs(BatchCreate, BATCHES)
            .supplied()
    }
}

/// A quota for a number in this crate's source. All of these are valid.
fn per_minute(max: u64) -> Quota {
    Quota::per_minute(max).expect("a constant of this crate, tested")
}

const FINE_TUNES: NonZeroU32 = NonZeroU32::new(3).expect("not zero");
const BATCHES: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

#[cfg(test)]
mod tests {
    use super::*;

    fn find(limits: &Limits, endpoint: Endpoint) -> Vec<u64> {
        let quotas = limits.rules.iter().filter_map(|rule| match rule.cap {
            Cap::Requests(quota) if rule.endpoints == [endpoint] => Some(quota.max()),
            _ => None,
        });
        quotas.collect()
    }

    #[test]
    fn the_last_word_stands() {
        let quota = Quota::per_minute(7).unwrap();
        let limits = Limits::default().requests(Endpoint::Embeddings, quota);
        assert_eq!(find(&limits, Endpoint::Embeddings), [7]);
        assert!(limits.rules.iter().any(|rule| rule.ceiling));
    }

    #[test]
    fn a_margin_for_all_or_for_one() {
        let all = Limits::default().scaled(500, 600).unwrap();
        assert_eq!(find(&all, Endpoint::Embeddings), [250]);
        assert_eq!(find(&all, Endpoint::ChatCompletions), [500]);
        let one = Limits::default()
            .keep_endpoint_to(Endpoint::Embeddings, 1, 2)
            .unwrap();
        assert_eq!(find(&one, Endpoint::Embeddings), [150]);
        assert_eq!(find(&one, Endpoint::ChatCompletions), [600]);
        assert!(Limits::default().scaled(7, 6).is_err());
    }

    #[test]
    fn every_tier_is_a_table() {
        use Tier::{Five, Four, Free, One, Three, Two};
        let chat = [Free, One, Two, Three, Four, Five]
            .map(|tier| find(&Limits::tier(tier), Endpoint::ChatCompletions)[0]);
        assert_eq!(chat, [60, 600, 1_800, 3_000, 4_500, 6_000]);
    }

    #[test]
    fn an_endpoint_can_be_freed() {
        let limits = Limits::default().without(Endpoint::Embeddings);
        let named = limits
            .rules
            .iter()
            .any(|rule| rule.endpoints.contains(&Endpoint::Embeddings));
        assert!(!named);
        assert_eq!(find(&limits, Endpoint::ChatCompletions), [600]);
    }
}
