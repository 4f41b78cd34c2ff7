//! The tables of the page `logs`: each line that is logged is in them, and each of their rows is logged.

use std::collections::BTreeSet;

use tracing::Level;

use crate::{
    everything::everything,
    log::{Line, Log},
};

const PAGE: &str = include_str!("../../docs/logs.md");

/// A row of the first table.
#[derive(Debug)]
struct Row {
    level: String,
    target: String,
    message: String,
    fields: Vec<String>,
}

impl Row {
    fn is_of(&self, line: &Line) -> bool {
        line.target == self.target && line.message.starts_with(&self.message)
    }

    /// Whether this level is named. An event with a `*` may repeat at DEBUG.
    fn has(&self, level: Level) -> bool {
        let named = self.level.contains(level.as_str());
        named || level == Level::DEBUG && self.level.contains('*')
    }
}

/// The cells of the table below this head, without their quotes.
fn table(head: &str) -> Vec<Vec<String>> {
    let (_, rest) = PAGE.split_once(head).expect("the head of a table");
    let rows = rest.lines().skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.replace('`', "");
        let row = row.trim_start_matches('|').trim_end_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

fn rows() -> Vec<Row> {
    let rows = table("| level | target | span or message | fields |");
    let row = |cells: Vec<String>| Row {
        level: cells[0].clone(),
        target: cells[1].clone(),
        message: cells[2].clone(),
        fields: words(&cells[3]),
    };
    rows.into_iter().map(row).collect()
}

fn words(cell: &str) -> Vec<String> {
    let words = cell.split(", ").filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn each_line_is_in_the_table_and_each_row_is_logged() {
    let (log, _guard) = Log::heard();
    everything().await;
    let (rows, lines) = (rows(), log.lines());
    assert!(!log.text().contains("secret"), "{}", log.text());
    for line in &lines {
        let row = rows.iter().find(|row| row.is_of(line));
        let row = row.unwrap_or_else(|| panic!("{line} is not in the table"));
        assert!(row.has(line.level), "{line}, but {row:?}");
        for (name, _) in &line.fields {
            assert!(
                row.fields.iter().any(|field| field == name),
                "{line}, but {row:?}"
            );
        }
    }
    for row in &rows {
        let lines: Vec<_> = lines.iter().filter(|line| row.is_of(line)).collect();
        for level in words(&row.level) {
            let level: Level = level.trim_end_matches('*').parse().unwrap();
            assert!(
                lines.iter().any(|line| line.level == level),
                "{level} of {row:?}"
            );
        }
        for field in &row.fields {
            let has = lines.iter().any(|line| line.field(field).is_some());
            assert!(has, "{field} of {row:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_reason_is_in_the_table_at_its_level() {
    let (log, _guard) = Log::heard();
    everything().await;
    let lines = log.with("request not retried");
    let documented: BTreeSet<_> = table("| reason | level |")
        .into_iter()
        .map(|cells| (cells[0].clone(), cells[1].replace('*', "")))
        .collect();
    // The first of its kind, and not one that repeats.
    let highest = |line: &Line| {
        let of = lines
            .iter()
            .filter(|of| of.field("reason") == line.field("reason"));
        of.map(|line| line.level).min().unwrap()
    };
    let logged = lines.iter().map(|line| {
        let reason = line.field("reason").unwrap().to_owned();
        (reason, highest(line).to_string())
    });
    assert_eq!(logged.collect::<BTreeSet<_>>(), documented);
}
