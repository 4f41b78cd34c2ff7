//! Lines on standard error.

use std::io::{self, Write};

/// Writes a line to standard error; there is nobody to tell if that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
