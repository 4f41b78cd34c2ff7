//! The limits in force, and those that apply to a lane.

use super::{RuleId, RuleIndex};
use crate::words::{Cap, Endpoint, Limits, Rule};

/// The table in force. A rule keeps its id for as long as later tables limit the same thing, so that a permit
/// granted under one table is returned correctly under the next.
#[derive(Debug)]
pub(super) struct Rules {
    limits: Limits,
    ids: Vec<RuleId>,
    next_id: RuleId,
    /// The number of this table among those that were in force.
    pub(super) number: u32,
}

impl Rules {
    pub(super) fn new(limits: Limits) -> Self {
        let mut next_id = RuleId::FIRST;
        let ids = limits.rules().iter().map(|_| next_id.take_next());
        Self {
            ids: ids.collect(),
            next_id,
            limits,
            number: 0,
        }
    }

    /// Makes the rules of the next table.
    pub(super) fn succeed(&self, limits: Limits) -> Self {
        let mut next_id = self.next_id;
        let mut taken = Vec::new();
        let ids = limits.rules().iter().map(|rule| {
            let mut old = self.limits.rules().iter().zip(&self.ids);
            let same = old.find(|(old, id)| old.is_about(rule) && !taken.contains(*id));
            let id = same.map_or_else(|| next_id.take_next(), |(_, id)| *id);
            taken.push(id);
            id
        });
        Self {
            ids: ids.collect(),
            next_id,
            limits,
            number: self.number.wrapping_add(1),
        }
    }

    pub(super) fn rule(&self, index: RuleIndex) -> &Rule {
        &self.limits.rules()[usize::from(index)]
    }

    pub(super) fn cap(&self, index: RuleIndex) -> &Cap {
        &self.rule(index).cap
    }

    pub(super) fn id(&self, index: RuleIndex) -> RuleId {
        self.ids[usize::from(index)]
    }

    /// The index of a rule in this table, if it is in it.
    pub(super) fn index(&self, id: RuleId) -> Option<RuleIndex> {
        let index = self.ids.iter().position(|other| *other == id)?;
        Some(RuleIndex::new(index))
    }

    /// Whether jobs that requests to `creation` create are limited.
    pub(super) fn limits_jobs(&self, creation: Endpoint) -> bool {
        let mut rules = self.limits.rules().iter();
        rules.any(|rule| matches!(rule.cap, Cap::Jobs(_)) && rule.endpoints.contains(&creation))
    }

    /// Whether a response is charged the longest that it may be.
    pub(super) fn reserves(&self) -> bool {
        self.limits.reserves()
    }

    /// Whether a request under no limit may be an oversight: it creates or generates something, or its route
    /// is unknown. A table without any limit, and an exempt model, are intended.
    pub(super) fn overlooks(&self, endpoint: Endpoint, model: Option<&str>) -> bool {
        let unknown = matches!(endpoint, Endpoint::Other | Endpoint::Custom(_));
        (unknown || endpoint.creates() || endpoint.generates())
            && !self.limits.rules().is_empty()
            && !model.is_some_and(|model| self.limits.exempts(model))
    }

    #[cfg(feature = "redis")]
    /// Whether no other quota of the table limits any request that a rule limits.
    pub(super) fn is_alone(&self, rule: &Rule) -> bool {
        let others = self
            .limits
            .rules()
            .iter()
            .filter(|other| other.cap.quota().is_ok() && !(other.is_about(rule)));
        let shares = |other: &Rule| {
            rule.endpoints
                .iter()
                .any(|one| other.endpoints.contains(one))
        };
        !others.into_iter().any(shares)
    }

    /// The endpoints whose tokens are counted, as bits.
    pub(super) fn metered(&self) -> usize {
        let rules = self.limits.rules().iter();
        let metered = rules.filter(|rule| matches!(rule.cap, Cap::Tokens(_)));
        let endpoints = metered.flat_map(|rule| &rule.endpoints);
        endpoints.fold(0, |bits, endpoint| bits | bit(*endpoint))
    }

    /// Whether tokens are counted for an endpoint and a model.
    pub(super) fn counts_tokens(&self, endpoint: Endpoint, model: Option<&str>) -> bool {
        self.of(endpoint, model)
            .any(|rule| matches!(self.cap(rule), Cap::Tokens(_)))
    }

    /// Whether the table has rules for this model.
    pub(super) fn knows(&self, model: &str) -> bool {
        let named = |rule: &Rule| rule.model.as_deref() == Some(model);
        self.limits.exempts(model) || self.limits.rules().iter().any(named)
    }

    /// The rules of a lane, by index.
    pub(super) fn of<'a>(
        &'a self,
        endpoint: Endpoint,
        model: Option<&'a str>,
    ) -> impl Iterator<Item = RuleIndex> + 'a {
        let rules = self.limits.rules();
        let own = move |rule: &Rule| rule.model.is_some() && rule.model.as_deref() == model;
        let replaced = move |rule: &Rule| {
            let mut others = rules.iter();
            others.any(|other| own(other) && other.limits_the_same(rule))
        };
        let exempt = model.is_some_and(|model| self.limits.exempts(model));
        let applies = move |rule: &Rule| {
            let about = !exempt && rule.endpoints.contains(&endpoint);
            about && (own(rule) || rule.model.is_none() && !replaced(rule))
        };
        let applying = (0..rules.len()).filter(move |index| applies(&rules[*index]));
        applying.map(RuleIndex::new)
    }
}

/// One bit for each endpoint whose requests tell their cost in tokens, no bit for the others.
pub(super) fn bit(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::ChatCompletions => 1,
        Endpoint::Completions => 2,
        Endpoint::Embeddings => 4,
        Endpoint::Rerank => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::words::Quota;

    fn per_minute(max: u64) -> Quota {
        Quota::per_minute(max).unwrap()
    }

    #[test]
    fn a_model_replaces_what_it_names_and_keeps_the_rest() {
        let chat = Endpoint::ChatCompletions;
        let rules = Rules::new(
            Limits::none()
                .requests(chat, per_minute(600))
                .in_flight(chat, NonZeroU32::MIN)
                .shared([chat, Endpoint::Embeddings], per_minute(600))
                .for_model("slow", Limits::none().requests(chat, per_minute(3)))
                .exempt("mine/dedicated"),
        );
        let of = |endpoint, model| rules.of(endpoint, model).collect::<Vec<_>>();
        assert_eq!(of(chat, None), [0, 1, 2].map(RuleIndex::new));
        assert_eq!(of(chat, Some("other")), [0, 1, 2].map(RuleIndex::new));
        assert_eq!(of(chat, Some("slow")), [1, 2, 3].map(RuleIndex::new));
        assert_eq!(
            of(Endpoint::Embeddings, Some("slow")),
            [2].map(RuleIndex::new)
        );
        assert!(of(chat, Some("mine/dedicated")).is_empty());
        assert!(of(Endpoint::Images, None).is_empty());
        assert!(rules.knows("slow") && rules.knows("mine/dedicated") && !rules.knows("other"));
    }

    /// Requests to other endpoints cost no look at the body, and no lock.
    #[test]
    fn tokens_are_counted_where_a_line_says_so() {
        let (chat, embeddings) = (Endpoint::ChatCompletions, Endpoint::Embeddings);
        assert_eq!(Rules::new(Limits::default()).metered(), 0);
        let one = Limits::default()
            .for_model("slow", Limits::none().tokens(chat, per_minute(9)))
            .tokens(Endpoint::Images, per_minute(9));
        let rules = Rules::new(one);
        assert_eq!(rules.metered(), bit(chat));
        assert!(rules.counts_tokens(chat, Some("slow")));
        assert!(!rules.counts_tokens(chat, Some("other")));
        assert!(!rules.counts_tokens(embeddings, Some("slow")));
    }

    #[test]
    fn an_endpoint_of_which_two_lines_count_tokens_is_metered() {
        let (chat, embeddings) = (Endpoint::ChatCompletions, Endpoint::Embeddings);
        let limits = Limits::none()
            .tokens(chat, per_minute(9))
            .shared_tokens([chat, embeddings], per_minute(9));
        assert_eq!(Rules::new(limits).metered(), bit(chat) | bit(embeddings));
    }

    #[test]
    fn each_endpoint_that_costs_tokens_is_told_from_all_others() {
        use Endpoint::{ChatCompletions, Completions, Embeddings, Rerank};
        let bits = [ChatCompletions, Completions, Embeddings, Rerank].map(bit);
        assert!(bits.iter().all(|bit| bit.count_ones() == 1));
        assert_eq!(bits.iter().sum::<usize>().count_ones(), 4);
        assert_eq!(bit(Endpoint::Images), 0);
    }

    #[test]
    fn only_a_limit_to_jobs_of_the_same_kind_limits_them() {
        let (batches, fine_tunes) = (Endpoint::BatchCreate, Endpoint::FineTuneCreate);
        let jobs = Rules::new(Limits::none().jobs(batches, NonZeroU32::MIN));
        assert!(jobs.limits_jobs(batches) && !jobs.limits_jobs(fine_tunes));
        let quota = Rules::new(Limits::none().requests(batches, per_minute(9)));
        assert!(!quota.limits_jobs(batches));
    }

    #[test]
    fn a_rule_keeps_its_id_through_a_change_of_table() {
        let (chat, embeddings) = (Endpoint::ChatCompletions, Endpoint::Embeddings);
        let old = Rules::new(Limits::none().requests(chat, per_minute(1)));
        let new = old.succeed(
            Limits::none()
                .requests(embeddings, per_minute(1))
                .requests(chat, per_minute(2)),
        );
        let [first, second] = [0, 1].map(RuleIndex::new);
        assert_eq!(new.id(second), old.id(first));
        assert_ne!(new.id(first), old.id(first));
    }
}
