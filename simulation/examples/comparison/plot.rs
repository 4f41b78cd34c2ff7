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

/// The figure that a plot shows, and its scale.
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    /// The figure of a client, if it has one.
    pub(crate) figure: fn(&Figures) -> Option<f64>,
    /// The place of a figure between 0, at the left, and 1.
    pub(crate) place: fn(f64) -> f64,
    pub(crate) labels: &'static [f64],
}

/// The square, because most clients are close to 100.
pub(crate) const USED: Axis = Axis {
    title: "Quota used, in percent: further right is better",
    figure: |figures| figures.used,
    place: |used| (used / 116.0).powi(2),
    labels: &[0.0, 20.0, 40.0, 60.0, 80.0, 90.0, 100.0, 110.0],
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
    for (place, lane, client, figures) in places(row, axis) {
        let mark = mark(client, place, y + 14 + lane * LANE);
        group = group.add(match figures.failed > 0.0 {
            true => mark.set("fill", FAILED),
            false => mark,
        });
    }
    group
}

/// The place and the lane of each client's mark. Marks that would cover each other are in different lanes, and if there
/// is none left, side by side.
fn places<'a>(row: &'a Row, axis: &Axis) -> Vec<(i32, i32, &'static Setup, &'a Figures)> {
    let figure = |figures| Some(x(axis, (axis.figure)(figures)?));
    let clients = row.clients.iter();
    let mut places: Vec<_> = clients
        .filter_map(|(client, figures)| Some((figure(figures)?, 0, *client, figures)))
        .collect();
    places.sort_by_key(|(place, ..)| *place);
    let mut free = [0; LANES];
    for (place, lane, ..) in &mut places {
        let fits = free.iter().position(|free| free <= place);
        let first = || {
            (0..LANES)
                .min_by_key(|lane| free[*lane])
                .unwrap_or_default()
        };
        let found = fits.unwrap_or_else(first);
        *place = free[found].max(*place);
        *lane = found as i32;
        free[found] = *place + MARK;
    }
    places
}

fn mark(client: &Setup, x: i32, y: i32) -> Text {
    let mark = text(x, y, client.mark).set("text-anchor", "middle");
    match client.kind {
        Kind::Own { .. } => mark.set("fill", OWN).set("font-weight", "bold"),
        Kind::Only { own: true, .. } => mark.set("fill", OWN),
        Kind::Neighbour { .. } | Kind::Only { own: false, .. } => mark,
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
/// The lanes of a row, and their height.
const LANES: usize = 4;
const LANE: i32 = 12;
const ROW: i32 = LANES as i32 * LANE + 8;
/// The width of a mark.
const MARK: i32 = 12;
const LEGEND: i32 = 270;
/// Visible on white, on black, and on the greys of dark pages.
const BAND: &str = "#8b949e26";
const OWN: &str = "#3d87e8";
const FAILED: &str = "#e5484d";
/// As an image, the drawing works on light and dark pages. Inside a page (`:root` is another element then) it takes
/// that page's colour.
const COLOURS: &str =
    "svg:root{color:#656d76}@media(prefers-color-scheme:dark){svg:root{color:#8b949e}}";
