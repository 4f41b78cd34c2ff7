//! The table of all rows.

use std::collections::BTreeMap;

use tower_together_bench::{BESIDE, Row};

use crate::{Failure, valgrind};

/// Instructions per call of the rows that were counted so far.
#[derive(Default)]
struct Counted(BTreeMap<usize, f64>);

impl Counted {
    fn of(&mut self, row: usize) -> Result<f64, Failure> {
        if let Some(count) = self.0.get(&row) {
            return Ok(*count);
        }
        let count = valgrind::instructions(row)?;
        self.0.insert(row, count);
        Ok(count)
    }
}

pub(crate) fn print(rows: &[Row], chosen: impl IntoIterator<Item = usize>) -> Result<(), Failure> {
    println!(
        "{:50}{:>14}{:>10}{:>14}",
        "", "instructions", "x no-op", "allocations"
    );
    let mut counted = Counted::default();
    for index in chosen {
        let row = rows.get(index).ok_or("no such row")?;
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        let count = counted.of(index)?;
        let times = count / counted.of(row.no_op)?;
        let of_no_op = match index == row.no_op {
            true => 0.0,
            false => valgrind::allocations(row.no_op)?,
        };
        let own = valgrind::allocations(index)? - of_no_op;
        print!(
            "{index:3} {:46}{count:>14.0}{times:>10.2}{own:>14.2}",
            row.name
        );
        for (ours, theirs, _) in BESIDE {
            let other = rows.iter().enumerate().find(|(_, other)| {
                ours == row.name && theirs == other.name && other.no_op == row.no_op
            });
            if let Some((other, _)) = other {
                print!("    {:.2} x {theirs}", count / counted.of(other)?);
            }
        }
        println!();
    }
    Ok(())
}
