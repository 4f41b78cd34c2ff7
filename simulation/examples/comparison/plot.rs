//! A plot: a row for each server, and in it a mark for each client.

use svg::{
    Document,
    node::element::{Group, Line, Rectangle, Style, Text},
};

use crate::{
    all_runs::Row,
    clients::{ALL, Kind, Setup},
    figures::Figures,
};

/// What a plot shows, and its scale.
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    /// The figure of a client, if it has one.
    pub(crate) figure: fn(&Figures) -> Option<f64>,
    /// The place of a figure between 0, at the left, and 1.
    pub(crate) place: fn(f64) -> f64,
    pub(crate) labels: &'static [f64],
}

pub(crate) const USED: Axis = Axis {
    title: "Quota used, in percent: further right is better",
    figure: |figures| figures.used,
    place: |used| used / 110.0,
    labels: &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0],
};

/// The root, because one percent would otherwise be invisible beside ninety.
pub(crate) const REJECTED: Axis = Axis {
    title: "429s, in percent of all requests: further left is better",
    figure: |figures| Some(figures.rejected_share),
    place: |share| (share / 100.0).sqrt(),
    labels: &[0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0],
};

pub(crate) fn of(rows: &[Row], axis: &Axis) -> Document {
    let shown: Vec<_> = rows
        .iter()
        .filter(|row| {
            row.clients
                .iter()
                .any(|(_, figures)| (axis.figure)(figures).is_some())
        })
        .collect();
    let mut drawing = Document::new()
        .set("role", "img")
        .set("aria-label", axis.title)
        .set("font-family", "system-ui,sans-serif")
        .set("font-size", 13)
        .set("fill", "currentColor")
        .add(Style::new(COLOURS))
        .add(text(LEFT, 18, axis.title).set("font-weight", "bold"));
    for (index, row) in shown.iter().enumerate() {
        let y = HEAD + index as i32 * ROW;
        drawing = drawing.add(line_of(row, axis, y, index % 2 == 0));
    }
    let bottom = HEAD + shown.len() as i32 * ROW;
    for label in axis.labels {
        let x = x(axis, *label);
        let name = text(x, bottom + 18, format!("{label}")).set("text-anchor", "middle");
        drawing = drawing.add(rule(x, HEAD, bottom)).add(name);
    }
    let legend = ALL
        .iter()
        .filter(|client| shown.iter().any(|row| row.of(client).is_some()));
    let mut end = bottom + 34;
    for (index, client) in legend.enumerate() {
        let (x, y) = (
            LEGEND * (index as i32 % 3),
            bottom + 46 + index as i32 / 3 * 20,
        );
        drawing =
            drawing
                .add(mark(client, x + 8, y))
                .add(text(x + 22, y, client.name.replace('`', "")));
        end = y + 26;
    }
    let note = text(0, end, "Red: some calls failed.").set("fill", FAILED);
    drawing
        .add(note)
        .set("viewBox", (0, 0, LEFT + WIDTH + 16, end + 12))
}

fn line_of(row: &Row, axis: &Axis, y: i32, shaded: bool) -> Group {
    let mut group = Group::new();
    if shaded {
        let band = Rectangle::new()
            .set("y", y)
            .set("width", LEFT + WIDTH + 16)
            .set("height", ROW);
        group = group.add(band.set("fill", BAND));
    }
    group = group.add(text(8, y + ROW / 2 + 5, row.server.name));
    for (client, figures) in &row.clients {
        let Some(figure) = (axis.figure)(figures) else {
            continue;
        };
        // Each client has a height of its own, so that marks with the same figure stay legible.
        let index = ALL
            .iter()
            .position(|setup| setup.name == client.name)
            .unwrap_or_default();
        let y = y + 9 + index as i32 * (ROW - 10) / ALL.len() as i32;
        let mut mark = mark(client, x(axis, figure), y + 4);
        if figures.failed > 0.0 {
            mark = mark.set("fill", FAILED);
        }
        group = group.add(mark);
    }
    group
}

fn mark(client: &Setup, x: i32, y: i32) -> Text {
    let mark = text(x, y, client.mark).set("text-anchor", "middle");
    match client.kind {
        Kind::Own { .. } => mark.set("fill", OWN).set("font-weight", "bold"),
        Kind::Neighbour { .. } | Kind::Only(_) => mark,
    }
}

fn rule(x: i32, from: i32, to: i32) -> Line {
    let line = Line::new()
        .set("x1", x)
        .set("x2", x)
        .set("y1", from)
        .set("y2", to);
    line.set("stroke", BAND)
}

fn text(x: i32, y: i32, content: impl Into<String>) -> Text {
    Text::new(content).set("x", x).set("y", y)
}

fn x(axis: &Axis, figure: f64) -> i32 {
    let place = (axis.place)(figure).clamp(0.0, 1.0);
    LEFT + (place * f64::from(WIDTH)).round() as i32
}

const LEFT: i32 = 150;
const WIDTH: i32 = 640;
const HEAD: i32 = 30;
const ROW: i32 = 44;
const LEGEND: i32 = 270;
/// Visible on white, on black, and on the greys of dark pages.
const BAND: &str = "#8b949e26";
const OWN: &str = "#3d87e8";
const FAILED: &str = "#e5484d";
/// As an image, the drawing works on light and dark pages. Inside a page (`:root` is another element then) it takes
/// that page's colour.
const COLOURS: &str =
    "svg:root{color:#656d76}@media(prefers-color-scheme:dark){svg:root{color:#8b949e}}";
