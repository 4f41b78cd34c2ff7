//! The tables, in Markdown.

use std::fmt::Write;

use crate::{
    aims::Aim,
    all_runs::Row,
    clients::{ALL, Kind, Setup},
    figures::{Figures, median},
};

/// One line for each client, over all servers.
pub(crate) fn summary(rows: &[Row]) -> String {
    let mut table = String::from(
        "| client | given the limit | servers without failed calls, at most 1 % 429s | quota used: median, least | \
         429s: median, most | failed calls: most |\n|---|---|---|---|---|---|\n",
    );
    for client in &ALL {
        let (Kind::Own { given } | Kind::Neighbour { given }) = client.kind else {
            continue;
        };
        let _ = writeln!(table, "{}", summary_of(client, given, rows));
    }
    table
}

fn summary_of(client: &Setup, given: bool, rows: &[Row]) -> String {
    let figures: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.of(client)?)))
        .collect();
    let clean = figures
        .iter()
        .filter(|(_, figures)| figures.is_clean())
        .count();
    let used: Vec<_> = figures
        .iter()
        .filter_map(|(_, figures)| figures.used)
        .collect();
    let rejected: Vec<_> = figures
        .iter()
        .map(|(_, figures)| figures.rejected_share)
        .collect();
    let failed = figures
        .iter()
        .map(|(row, figures)| 100.0 * figures.failed / row.server.work.calls() as f64);
    format!(
        "| {} | {} | {clean} of {} | {} | {:.1} %, {:.1} % | {:.1} % |",
        client.name,
        if given { "yes" } else { "no" },
        figures.len(),
        match used.is_empty() {
            true => "–".to_owned(),
            false => format!("{:.1} %, {:.1} %", median(used.clone()), least(&used)),
        },
        median(rejected.clone()),
        most(&rejected),
        most(&failed.collect::<Vec<_>>()),
    )
}

/// A line for each server and aim.
pub(crate) fn aims(aims: &[Aim<'_>]) -> String {
    let mut table = String::from(
        "| server | number written | tower-together: used, 429s | best neighbour: used, 429s | |\n|---|---|---|---|---|\n",
    );
    for aim in aims {
        let best = aim
            .best
            .map(|(setup, figures)| format!("{}: {}", setup.name, short(figures)));
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} |",
            aim.server,
            if aim.given { "yes" } else { "no" },
            short(aim.own),
            best.as_deref().unwrap_or("none"),
            match (aim.is_met(), aim.exception()) {
                (true, _) => "",
                (false, reason) => reason.unwrap_or("missed"),
            }
        );
    }
    table
}

/// A table for each server.
pub(crate) fn servers(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let _ = write!(
            text,
            "## `{}`\n\n{}.\n\n| client | quota used | 429s | failed calls | makespan / ideal | wait, 99th percentile |\n\
             |---|---|---|---|---|---|\n",
            row.server.name,
            capitalised(row.server.about)
        );
        for (client, figures) in &row.clients {
            let Figures {
                used,
                rejected,
                rejected_share,
                failed,
                makespan,
                wait,
            } = figures;
            let used = used.map_or("–".to_owned(), |used| format!("{used:.1} %"));
            let _ = writeln!(
                text,
                "| {} | {used} | {rejected:.0} ({rejected_share:.1} %) | {failed:.0} | {makespan:.2} | {wait:.1} s |",
                client.name
            );
        }
        text.push('\n');
    }
    text
}

fn short(figures: &Figures) -> String {
    let used = match figures.used {
        Some(used) => format!("{used:.1} %"),
        None => format!("makespan {:.2}", figures.makespan),
    };
    format!("{used}, {:.0}", figures.rejected)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
