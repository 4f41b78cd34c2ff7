//! A subscriber that keeps the spans and events of its thread.

use std::{
    fmt::{self, Debug, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Metadata,
    field::{Field, Visit},
    span,
    subscriber::{DefaultGuard, Subscriber, set_default},
};

/// One span, or one event.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    /// The message of an event, or `span` and the name.
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Whether a span has been closed.
    pub(crate) is_closed: bool,
}

#[derive(Clone)]
pub(crate) struct Log {
    max: Level,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Log {
    pub(crate) fn heard() -> (Self, DefaultGuard) {
        Self::up_to(Level::TRACE)
    }

    pub(crate) fn warnings() -> (Self, DefaultGuard) {
        Self::up_to(Level::WARN)
    }

    fn up_to(max: Level) -> (Self, DefaultGuard) {
        let lines = Arc::default();
        let log = Self { max, lines };
        (log.clone(), set_default(log))
    }

    /// The crate's own lines, which those of other crates are not part of.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let lines = self.lines.lock().unwrap();
        let own = |line: &&Line| line.target.starts_with("tower_together");
        lines.iter().filter(own).cloned().collect()
    }

    pub(crate) fn with(&self, words: &str) -> Vec<Line> {
        let mut lines = self.lines();
        lines.retain(|line| line.message.contains(words));
        lines
    }

    /// The number of lines that contain `words`.
    pub(crate) fn of(&self, words: &str) -> usize {
        self.with(words).len()
    }

    /// All that is logged, as a subscriber prints it.
    pub(crate) fn text(&self) -> String {
        self.lines()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(of, _)| *of == name)
            .map(|(_, value)| &**value)
    }

    fn new(metadata: &Metadata<'static>, message: String) -> Self {
        Self {
            level: *metadata.level(),
            target: metadata.target(),
            message,
            fields: Vec::new(),
            is_closed: false,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.level, self.target, self.message)?;
        let mut fields = self.fields.iter();
        fields.try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name, value.to_owned())),
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.max
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let metadata = span.metadata();
        let mut line = Line::new(metadata, format!("span {}", metadata.name()));
        span.record(&mut line);
        let mut lines = self.lines.lock().unwrap();
        lines.push(line);
        span::Id::from_u64(lines.len() as u64)
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.lines.lock().unwrap()[span.into_u64() as usize - 1]);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new(event.metadata(), String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}

    fn try_close(&self, span: span::Id) -> bool {
        self.lines.lock().unwrap()[span.into_u64() as usize - 1].is_closed = true;
        true
    }
}
