//! The text in the drawing.

use simulation::tally::{Tally, total};
use svg::node::element::{Group, TSpan, Text};

use crate::{
    case::Case,
    panel::{DEPTH, HEIGHT, REJECTED, SENT, WIDTH, height},
};

pub(crate) fn text(x: i32, y: i32, content: impl Into<String>) -> Text {
    Text::new(content).set("x", x).set("y", y)
}

pub(crate) fn title(case: Case) -> Text {
    let (name, rest) = case.title();
    let rest = TSpan::new(rest).set("font-weight", "normal").set("dx", 4);
    Text::new(name).set("font-weight", "bold").add(rest)
}

/// The figures, each in the colour of its curve.
pub(crate) fn figures(tally: &Tally) -> Text {
    let rejected = format!("{} × 429", thousands(total(&tally.rejected)));
    let rejected = TSpan::new(rejected).set("fill", REJECTED).set("dx", 12);
    let used = format!("{:.1} % used", tally.used());
    Text::new(used).set("fill", SENT).add(rejected)
}

/// The labels beside the curves.
pub(crate) fn labels(tally: &Tally) -> Group {
    let middle = tally.sent.len() / 2;
    let above = HEIGHT - height(60.0 * tally.allowed[middle]) - 14;
    Group::new()
        .set("text-anchor", "end")
        .add(text(WIDTH - 16, HEIGHT / 2 + 8, "allowed"))
        .add(text(WIDTH / 2, above, "sent").set("fill", SENT))
}

/// The labels left of a panel.
pub(crate) fn rates() -> Group {
    let mut group = Group::new().set("text-anchor", "end");
    for (rate, name) in [
        (0.0, "0"),
        (300.0, "300"),
        (600.0, "600"),
        (1_200.0, "1,200/min"),
    ] {
        group = group.add(text(-10, HEIGHT - height(rate) + 8, name));
    }
    group.add(text(-10, HEIGHT + DEPTH + 6, "429s").set("fill", REJECTED))
}

/// The labels below a panel.
pub(crate) fn times(times: &[&str]) -> Group {
    let last = times.len() - 1;
    let mut group = Group::new().set("text-anchor", "middle");
    for (index, time) in times.iter().enumerate() {
        let time = text(WIDTH * index as i32 / last as i32, 24, *time);
        group = group.add(match index == last {
            true => time.set("text-anchor", "end"),
            false => time,
        });
    }
    group
}

fn thousands(number: u32) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    }
}
