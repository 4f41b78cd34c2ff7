//! One run: the limit is an area, the requests sent are a line over it, and 429s hang below the axis.

use simulation::tally::Tally;
use svg::node::element::{Group, Path, SVG, path::Data};

use crate::series::Series;

/// Draws a run; the upper left corner is at the origin.
pub(crate) fn of(tally: &Tally) -> Group {
    let Series {
        allowed,
        sent,
        rejected,
    } = Series::of(tally, (WIDTH / STEP) as usize);
    let allowed: Vec<_> = allowed.into_iter().map(height).collect();
    let sent: Vec<_> = sent.into_iter().map(height).collect();
    let rejected: Vec<_> = rejected.into_iter().map(depth).collect();
    // Values beyond the scale are cut off.
    let frame = SVG::new().set("width", WIDTH).set("height", HEIGHT + 2);
    Group::new()
        .add(columns(&allowed, HEIGHT, -1).set("fill", ALLOWED))
        .add(frame.add(line(&sent)))
        .add(columns(&rejected, HEIGHT + 2, 1).set("fill", REJECTED))
}

/// The height of a rate above the axis.
pub(crate) fn height(per_minute: f64) -> i32 {
    (per_minute / HIGHEST * f64::from(HEIGHT)).round() as i32
}

/// The depth of 429s below the axis: the root of their number, because one would otherwise be invisible beside many.
fn depth(per_minute: f64) -> i32 {
    let share = (per_minute / MOST_REJECTED).min(1.0);
    (share.sqrt() * f64::from(DEPTH)).ceil() as i32
}

fn line(heights: &[i32]) -> Path {
    let steps = heights.windows(2);
    let steps = steps.flat_map(|pair| [STEP as f32, (pair[0] - pair[1]) as f32]);
    let data = Data::new()
        .move_to((0, HEIGHT - heights[0]))
        .line_by(steps.collect::<Vec<_>>());
    Path::new()
        .set("d", data)
        .set("fill", "none")
        .set("stroke", SENT)
        .set("stroke-width", 3)
        .set("stroke-linejoin", "round")
}

/// The outline of columns that stand on a line (direction -1), or hang from it (1).
fn columns(heights: &[i32], base: i32, direction: i32) -> Path {
    let mut data = Data::new().move_to((0, base));
    let mut before = 0;
    for same in heights.chunk_by(|one, next| one == next) {
        data = data
            .vertical_line_by(direction * (same[0] - before))
            .horizontal_line_by(same.len() as i32 * STEP);
        before = same[0];
    }
    Path::new().set("d", data.vertical_line_to(base).close())
}

pub(crate) const WIDTH: i32 = 480;
pub(crate) const HEIGHT: i32 = 160;
/// The height of the area for 429s.
pub(crate) const DEPTH: i32 = 24;
/// The distance between two points: 6 s of 12 minutes.
const STEP: i32 = 4;
/// The top of the scale, per minute: a little more than any server allows.
const HIGHEST: f64 = 1_400.0;
/// The largest rate of 429s, per minute: half of what a plain bucket sends.
const MOST_REJECTED: f64 = 300.0;
/// Visible on white, on black, and on the greys of dark pages.
const ALLOWED: &str = "#8b949e40";
pub(crate) const SENT: &str = "#3d87e8";
pub(crate) const REJECTED: &str = "#e5484d";
