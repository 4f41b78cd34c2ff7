//! The whole drawing: a row for each server, a column for each client.

use simulation::tally::Tally;
use svg::{
    Document,
    node::element::{Group, Style},
};

use crate::{
    case::{CLIENTS, Case},
    panel::{self, DEPTH, HEIGHT, WIDTH},
    words::{self, text},
};

pub(crate) fn of(rows: &[(Case, Vec<Tally>)]) -> Document {
    let mut drawing = Document::new()
        .set("role", "img")
        .set("aria-label", WHAT)
        .set("font-family", "system-ui,sans-serif")
        .set("font-size", 24)
        .set("fill", "currentColor")
        .add(Style::new(COLOURS));
    for (column, (name, ..)) in CLIENTS.iter().enumerate() {
        drawing = drawing.add(text(x(column), 28, *name).set("font-weight", "bold"));
    }
    let mut y = HEAD;
    for (index, (case, tallies)) in rows.iter().enumerate() {
        // Consecutive rows with one time axis show it below the lowest.
        let next = rows.get(index + 1).map(|(case, _)| case.times());
        let times = Some(case.times()).filter(|times| next != Some(times));
        let mut row = row(*case, tallies, times);
        if index == 0 {
            row = row.add(at(x(0), PLOT, words::labels(&tallies[0])));
        }
        drawing = drawing.add(at(0, y, row));
        y += ROW + times.map_or(0, |_| AXIS);
    }
    drawing.set("viewBox", (0, 0, x(2) + WIDTH + LAST, y))
}

fn row(case: Case, tallies: &[Tally], times: Option<&[&str]>) -> Group {
    let mut row = Group::new()
        .add(words::title(case).set("x", x(0)).set("y", 24))
        .add(at(x(0), PLOT, words::rates()));
    for (column, tally) in tallies.iter().enumerate() {
        let x = x(column);
        row = row
            .add(words::figures(tally).set("x", x).set("y", PLOT - 12))
            .add(at(x, PLOT, panel::of(tally)));
        if let Some(times) = times {
            row = row.add(at(x, PLOT + HEIGHT + DEPTH, words::times(times)));
        }
    }
    row
}

fn at(x: i32, y: i32, group: Group) -> Group {
    group.set("transform", format!("translate({x} {y})"))
}

fn x(column: usize) -> i32 {
    LEFT + column as i32 * (WIDTH + GAP)
}

const LEFT: i32 = 140;
const GAP: i32 = 44;
/// Space for half of a line's width.
const LAST: i32 = 4;
const HEAD: i32 = 56;
/// The distance from a row's top to the top of its panels.
const PLOT: i32 = 76;
const ROW: i32 = PLOT + HEIGHT + DEPTH + 32;
const AXIS: i32 = 28;
const WHAT: &str = "What servers allow, what clients send, and the 429s they get, over time";
/// As an image, the drawing works on light and dark pages. Inside a page (`:root` is another element then) it takes
/// that page's colour.
const COLOURS: &str =
    "svg:root{color:#656d76}@media(prefers-color-scheme:dark){svg:root{color:#8b949e}}";
