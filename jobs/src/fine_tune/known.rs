//! The fine-tunes there are, and whose they are.

use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Known(Vec<KnownJob>);

#[derive(Debug)]
struct KnownJob {
    id: String,
    suffix: Option<String>,
    /// The model it tunes.
    base: Option<String>,
    /// The name of the model it makes, in which both are.
    name: String,
    created: String,
}

impl Known {
    /// Adds a job of a list, the older after the newer.
    pub(super) fn add(&mut self, job: &Value) {
        let text = |name: &str| job[name].as_str().map(str::to_owned);
        self.0.push(KnownJob {
            id: text("id").unwrap_or_default(),
            suffix: text("suffix"),
            base: text("model"),
            name: text("model_output_name").unwrap_or_default(),
            created: text("created_at").unwrap_or_default(),
        });
    }

    /// The job that was created last for a request's suffix; of two of the same second the one listed first,
    /// for lists begin with the newest.
    pub(super) fn newest(&self, request: &Value) -> Option<&str> {
        let suffix = request["suffix"].as_str()?;
        let own = |job: &&KnownJob| job.is_of(suffix, request["model"].as_str());
        let newest = self.0.iter().filter(own).rev();
        let newest = newest.max_by(|one, other| one.created.cmp(&other.created));
        newest.map(|job| &*job.id)
    }
}

impl KnownJob {
    /// Whether it says so. A job that names no suffix makes a model that is called `BASE-SUFFIX`, or that and
    /// eight digits of a hash: the whole name counts, for one suffix may end as another does.
    fn is_of(&self, suffix: &str, base: Option<&str>) -> bool {
        if let Some(own) = &self.suffix {
            return own == suffix;
        }
        let Some(base) = self.base.as_deref().or(base) else {
            return false;
        };
        let name = last(&self.name);
        let hashed = name.rsplit_once('-').filter(|(_, hash)| {
            hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let whole = format!("{}-{suffix}", last(base));
        name == whole || hashed.is_some_and(|(name, _)| name == whole)
    }
}

/// A model's name without its owner's.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(jobs: Value) -> Known {
        let mut known = Known::default();
        jobs.as_array()
            .unwrap()
            .iter()
            .for_each(|job| known.add(job));
        known
    }

    #[test]
    fn a_job_is_found_by_its_suffix_or_by_the_name_of_its_model() {
        let known = listed(json!([
            {"id": "ft-9", "suffix": "a-1", "created_at": "2026-01-02"},
            {"id": "ft-8", "suffix": "a-1", "created_at": "2026-01-02"},
            {"id": "ft-7", "suffix": "a-1", "created_at": "2026-01-03"},
            {"id": "ft-6", "model_output_name": "me/Llama-3-8B-b-1-0a1b2c3d"},
            {"id": "ft-5", "model_output_name": "me/Llama-3-8B-b-2"},
            {"id": "ft-4", "suffix": "c", "model_output_name": "me/Llama-3-8B-d"},
            {"id": "ft-3", "model": "x/M-run", "model_output_name": "me/x/M-run-7-12345678"},
        ]));
        for (model, suffix, id) in [
            ("meta/Llama-3-8B", "a-1", Some("ft-7")),
            ("meta/Llama-3-8B", "b-1", Some("ft-6")),
            ("meta/Llama-3-8B", "b-2", Some("ft-5")),
            ("meta/Llama-3-8B", "c", Some("ft-4")),
            ("meta/Llama-3-8B", "d", None),
            ("meta/Llama-3-8B", "a", None),
            ("meta/Llama-3-8B", "b", None),
            ("x/M-run", "7", Some("ft-3")),
            ("x/M", "run-7", None),
        ] {
            let request = json!({"model": model, "suffix": suffix});
            assert_eq!(known.newest(&request), id, "{model} {suffix}");
        }
        let same = listed(json!([{"id": "2", "suffix": "x"}, {"id": "1", "suffix": "x"}]));
        assert_eq!(same.newest(&json!({"suffix": "x"})), Some("2"));
    }

    /// "1" took over the job of "run-7-1".
    #[test]
    fn a_job_whose_suffix_ends_as_another_does_is_not_its_job() {
        for name in [
            "me/M-run-7-1",
            "me/M-run-7-1-0a1b2c3d",
            "me/M-run-7-1-12345678",
        ] {
            for model in [None, Some("meta/M")] {
                let job = json!({"id": "ft-1", "model": model, "model_output_name": name});
                let known = listed(json!([job]));
                let found = |suffix: &str| {
                    let request = json!({"model": "meta/M", "suffix": suffix});
                    known.newest(&request).is_some()
                };
                assert!(found("run-7-1"), "{name}");
                for other in ["1", "7-1", "-1", "M-run-7-1", "run-7", "un-7-1", "0a1b2c3d"] {
                    assert!(!found(other), "{name} {other}");
                }
                assert!(known.newest(&json!({"suffix": "1"})).is_none());
            }
        }
    }
}
