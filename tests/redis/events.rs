//! The events of a limiter, as a log shows them.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex, Once},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

/// The warnings and errors of this thread.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<(Level, String)>>>);

impl Events {
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        // A thread without a subscriber that reaches an event first would turn it off for all threads.
        static OTHERS: Once = Once::new();
        OTHERS.call_once(|| {
            tracing::subscriber::set_global_default(Self::default()).expect("it is the only one");
        });
        let events = Self::default();
        let guard = tracing::subscriber::set_default(events.clone());
        (events, guard)
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.of(Level::ERROR)
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.of(Level::WARN)
    }

    fn of(&self, level: Level) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let is_of_redis = |text: &str| text.contains("Redis") || text.contains("shared");
        let of_level = events
            .iter()
            .filter(|(of, text)| *of == level && is_of_redis(text));
        of_level.map(|(_, text)| text.clone()).collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("tower_together")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
