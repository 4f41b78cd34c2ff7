//! Says what plain `cargo test` leaves out.

#[expect(clippy::print_stdout, reason = "that is all it does")]
fn main() {
    println!();
    println!("left out, and run by ./check:");
    println!("  the long simulations and the full-size runs  (-- --ignored, with --release)");
    println!("  the queue under a model checker              (RUSTFLAGS=\"--cfg shuttle\")");
    println!("  the stand-in's own tests                     (--workspace)");
    println!("and by whoever has the time: the fuzz target   (fuzz/README.md)");
    println!();
}
