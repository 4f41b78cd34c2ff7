/// The cost of a request as its response states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Prompt and response together, in tokens; never 0.
    pub(crate) total: u64,
    /// The response alone, in tokens.
    pub(crate) output: Option<u64>,
}

impl Usage {
    /// Reads the usage from whichever of the API's three numbers are there. All zeros are ignored: some
    /// servers write them before they know the usage.
    pub(crate) fn new(
        prompt: Option<u64>,
        completion: Option<u64>,
        total: Option<u64>,
    ) -> Option<Self> {
        let sum = prompt.unwrap_or(0).saturating_add(completion.unwrap_or(0));
        let stated = total.filter(|total| *total > 0);
        let total = stated.unwrap_or(sum);
        let rest = || Some(stated?.saturating_sub(prompt?));
        (total > 0).then(|| Self {
            total,
            output: completion.or_else(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_counts_else_the_sum() {
        let of = |prompt, completion, total| {
            Usage::new(prompt, completion, total).map(|usage| (usage.total, usage.output))
        };
        assert_eq!(of(Some(45), Some(3), Some(48)), Some((48, Some(3))));
        // Some servers count reasoning in the total alone.
        assert_eq!(of(Some(45), Some(3), Some(99)), Some((99, Some(3))));
        assert_eq!(of(Some(45), Some(3), None), Some((48, Some(3))));
        assert_eq!(of(Some(45), None, Some(48)), Some((48, Some(3))));
        assert_eq!(of(None, None, Some(48)), Some((48, None)));
        assert_eq!(of(Some(7), None, None), Some((7, None)));
        assert_eq!(of(Some(9), None, Some(7)), Some((7, Some(0))));
        assert_eq!(
            of(Some(u64::MAX), Some(1), Some(0)),
            Some((u64::MAX, Some(1)))
        );
        assert_eq!(of(Some(0), Some(0), Some(0)), None);
        assert_eq!(of(None, None, None), None);
    }
}
