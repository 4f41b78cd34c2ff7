//~ fails: E0432
//~ says: unresolved import `tower_together::stack::AsyncOpenAiLayer`
//~ says: the item is gated behind the `async-openai` feature

//! async-openai without the feature `async-openai`.

pub use tower_together::stack::AsyncOpenAiLayer;

fn main() {}
