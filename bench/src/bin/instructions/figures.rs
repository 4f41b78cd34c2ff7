//! The figures that the repository keeps, and how far this build is from them.

use std::{
    fmt::Write,
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use tower_together_bench::Row;

use crate::{Failure, valgrind};

/// Writes the figures of this build.
pub(crate) fn write(rows: &[Row]) -> Result<(), Failure> {
    let mut text = format!("{}\n", toolchain()?);
    for (index, name) in names(rows).iter().enumerate() {
        writeln!(text, "{:.0}\t{name}", valgrind::instructions(index)?)?;
    }
    Ok(fs::write(path(), text)?)
}

/// Compares this build with the figures. It fails if a row is off by more than [`TOLERANCE`], unless the figures are of
/// another toolchain.
pub(crate) fn check(rows: &[Row]) -> Result<ExitCode, Failure> {
    let text = fs::read_to_string(path())?;
    let (known, lines) = text.split_once('\n').ok_or("no figures")?;
    let figures: Vec<(&str, &str)> = lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut off = 0;
    for (index, name) in names(rows).iter().enumerate() {
        let figure = figures.iter().find(|(_, known)| known == name);
        let (figure, _) = figure.ok_or_else(|| format!("{name}: no figure. Run with --write."))?;
        let figure: f64 = figure.parse()?;
        let count = valgrind::instructions(index)?;
        let change = count / figure - 1.0;
        if change.abs() > TOLERANCE {
            println!("{name}: {count:.0} instructions, {:+.1} %", change * 100.0);
            off += 1;
        }
    }
    let toolchain = toolchain()?;
    println!("{off} of {} rows are off by more than 3 %", rows.len());
    if off > 0 && toolchain == known {
        return Err(
            "If this is intended, give the reason in the commit, and run with --write.".into(),
        );
    }
    if toolchain != known {
        println!("The figures are of another toolchain.\ntheirs: {known}\nhere: {toolchain}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of each row, with its section's.
fn names(rows: &[Row]) -> Vec<String> {
    let heading = |row: &Row| rows[row.no_op].heading.unwrap_or_default();
    let name = |row: &Row| format!("{}: {}", heading(row), row.name);
    rows.iter().map(name).collect()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

/// Everything outside the repository that the counts depend on. The C library copies memory as the processor can.
fn toolchain() -> Result<String, Failure> {
    let rustc = said("rustc", "--version")?;
    let libc = said("getconf", "GNU_LIBC_VERSION")?;
    let valgrind = said("valgrind", "--version")?;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let avx2 = if processor.contains(" avx2 ") {
        ""
    } else {
        "no "
    };
    Ok(format!("{rustc}, {libc}, {valgrind}, {avx2}AVX2"))
}

fn said(program: &str, argument: &str) -> Result<String, Failure> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Counts of the same build differ by some thousandths: hash tables are keyed at random.
const TOLERANCE: f64 = 0.03;
