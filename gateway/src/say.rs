//! Lines on standard error.

use std::io::{self, Write};

/// Writes a line to standard error. A failure is ignored: it could be reported nowhere.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
