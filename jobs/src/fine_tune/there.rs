//! The fine-tunes there are, and whose they are.

use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct There(Vec<Job>);

#[derive(Debug)]
struct Job {
    id: String,
    suffix: Option<String>,
    /// The name of the model it makes, in which the suffix is.
    name: String,
    created: String,
}

impl There {
    /// Adds a job of a list, the older after the newer.
    pub(super) fn add(&mut self, job: &Value) {
        let text = |name: &str| job[name].as_str().map(str::to_owned);
        let name = text("model_output_name").unwrap_or_default();
        self.0.push(Job {
            id: text("id").unwrap_or_default(),
            suffix: text("suffix"),
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            created: text("created_at").unwrap_or_default(),
        });
    }

    /// The one that was created last for a suffix; of two of the same second the one listed first, for
    /// lists begin with the newest.
    pub(super) fn newest(&self, suffix: &str) -> Option<&str> {
        let own = self.0.iter().filter(|job| job.is_of(suffix)).rev();
        let newest = own.max_by(|one, other| one.created.cmp(&other.created));
        newest.map(|job| &*job.id)
    }
}

impl Job {
    /// Whether it says so; where it says nothing, whether its model is called `BASE-SUFFIX`, or that and
    /// eight digits of a hash.
    fn is_of(&self, suffix: &str) -> bool {
        if let Some(own) = &self.suffix {
            return own == suffix;
        }
        let ends = |name: &str| {
            let rest = name.strip_suffix(suffix);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
        };
        let hashed = self.name.rsplit_once('-').filter(|(_, hash)| {
            hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        ends(&self.name) || hashed.is_some_and(|(name, _)| ends(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(jobs: Value) -> There {
        let mut there = There::default();
        jobs.as_array()
            .unwrap()
            .iter()
            .for_each(|job| there.add(job));
        there
    }

    #[test]
    fn a_job_is_found_by_its_suffix_or_by_the_name_of_its_model() {
        let there = listed(json!([
            {"id": "ft-5", "suffix": "a-1", "created_at": "2026-01-02"},
            {"id": "ft-4", "suffix": "a-1", "created_at": "2026-01-02"},
            {"id": "ft-3", "suffix": "a-1", "created_at": "2026-01-03"},
            {"id": "ft-2", "model_output_name": "me/Llama-3-8B-b-1-0a1b2c3d"},
            {"id": "ft-1", "model_output_name": "me/Llama-3-8B-b-2"},
            {"id": "ft-0", "suffix": "c", "model_output_name": "me/Llama-3-8B-d"},
        ]));
        for (suffix, id) in [
            ("a-1", Some("ft-3")),
            ("b-1", Some("ft-2")),
            ("b-2", Some("ft-1")),
            ("c", Some("ft-0")),
            ("d", None),
            ("a", None),
            ("b", None),
        ] {
            assert_eq!(there.newest(suffix), id, "{suffix}");
        }
        let same = listed(json!([{"id": "2", "suffix": "x"}, {"id": "1", "suffix": "x"}]));
        assert_eq!(same.newest("x"), Some("2"));
    }
}
