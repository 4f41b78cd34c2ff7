//! A short run of the program `soak`.

use std::time::Duration;

use tower_together_bench::soak;

#[test]
fn neither_memory_nor_descriptors_grow_over_sockets() {
    let mut looks = Vec::new();
    let result = soak(Duration::from_secs(4), |look| looks.push(look.to_string()));
    assert_eq!(result, Ok(()), "{looks:#?}");
}
