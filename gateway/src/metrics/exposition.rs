//! Converts OpenMetrics to Prometheus's own text format.

/// OpenMetrics names a counter without its suffix, states units, and ends with a mark. The text format does none of
/// these.
pub(crate) fn text(open_metrics: &str) -> String {
    let lines = || open_metrics.lines();
    let counters = lines().filter_map(|line| {
        let described = line.strip_prefix("# TYPE ")?;
        described.strip_suffix(" counter")
    });
    let counters: Vec<_> = counters.collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            (Some("#"), Some(word), Some(name), Some(rest)) => {
                let suffix = if counters.contains(&name) {
                    "_total"
                } else {
                    ""
                };
                text += &format!("# {word} {name}{suffix} {rest}\n");
            }
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}
