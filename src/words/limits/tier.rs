/// Together AI's published build tiers, for [`Limits::tier`](crate::Limits::tier).
///
/// Since 2026 limits are dynamic and the tiers "have been retired" for new accounts
/// (docs.together.ai/docs/billing-usage-limits). They still apply to running contracts, and are sensible
/// starting points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// No card: 60 chat requests a minute.
    Free,
    /// $5 spent.
    One,
    /// $50 spent.
    Two,
    /// $100 spent.
    Three,
    /// $250 spent.
    Four,
    /// $1,000 spent.
    Five,
}

/// One row of the published tables, all per minute. `None` is a number that is not published.
pub(super) struct Row {
    pub(super) chat: (u64, u64),
    pub(super) deepseek_r1: Option<u64>,
    pub(super) embeddings: (u64, u64),
    pub(super) rerank: Option<(u64, u64)>,
    pub(super) images: Option<u64>,
    pub(super) video: Option<u64>,
}

impl Tier {
    /// docs.together.ai/docs/rate-limits, late 2025 (Free: early 2025).
    #[rustfmt::skip]
    pub(super) fn row(self) -> Row {
        let (chat, deepseek_r1, embeddings, rerank, images, video) = match self {
            Self::Free => ((60, 60_000), None, (3_000, 1_000_000), None, None, None),
            Self::One => ((600, 180_000), Some(3), (3_000, 2_000_000), Some((2_500, 500_000)), Some(240), Some(60)),
            Self::Two => ((1_800, 250_000), Some(60), (5_000, 2_000_000), Some((3_500, 1_500_000)), Some(480), Some(60)),
            Self::Three => ((3_000, 500_000), Some(400), (5_000, 10_000_000), Some((4_000, 2_000_000)), Some(600), Some(60)),
            Self::Four => ((4_500, 1_000_000), Some(400), (10_000, 10_000_000), Some((7_500, 3_000_000)), Some(960), Some(60)),
            Self::Five => ((6_000, 2_000_000), Some(1_200), (10_000, 20_000_000), Some((9_000, 5_000_000)), Some(1_200), Some(100)),
        };
        Row { chat, deepseek_r1, embeddings, rerank, images, video }
    }
}
