//! The runs in the terminal, as they end: figures, and two small curves each.

use std::io::{self, Write};

use simulation::tally::{Tally, total};

use crate::{
    case::{CLIENTS, Case},
    series::Series,
};

pub(crate) fn title(case: Case) -> io::Result<()> {
    let (name, rest) = case.title();
    writeln!(io::stdout(), "\n{name}: {rest}")
}

pub(crate) fn line(client: usize, tally: &Tally) -> io::Result<()> {
    let (name, ..) = CLIENTS[client];
    let (used, rejected) = (tally.used(), total(&tally.rejected));
    let Series { allowed, sent, .. } = Series::of(tally, POINTS);
    let (allowed, sent) = (curve(&allowed), curve(&sent));
    let mut out = io::stdout().lock();
    writeln!(out, "  {:<43} allowed {allowed}", name)?;
    writeln!(
        out,
        "  {used:>5.1} % used {rejected:>7} × 429             sent {sent}"
    )
}

fn curve(rates: &[f64]) -> String {
    let level = |rate: &f64| LEVELS[(rate / HIGHEST * 8.0).round().min(8.0) as usize];
    rates.iter().map(level).collect()
}

const POINTS: usize = 36;
/// The top of the scale, per minute.
const HIGHEST: f64 = 1_200.0;
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
