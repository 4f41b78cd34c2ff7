//! The layers of the code, as ARCHITECTURE.md draws them: a file imports only from those below.

use std::{fs, path::Path};

use syn::{
    ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// A layer, the layers it may use, and the crates it may use beside std.
const LAYERS: [(&str, &[&str], &[&str]); 16] = [
    ("clock", &[], &["tokio"]),
    ("words", &[], &["http", "sha2", "tokio"]),
    (
        "wire",
        &["clock", "words"],
        &["http", "memchr", "serde", "serde_json", "smallvec", "tokio"],
    ),
    ("quota", &["words"], &[]),
    ("observe", &["clock", "words"], &["tokio", "tracing"]),
    (
        "limiter",
        &["clock", "words", "quota", "observe"],
        &["fastrand", "tokio", "slab", "smallvec", "shuttle"],
    ),
    (
        "redis",
        &["words", "quota", "limiter"],
        &["fastrand", "redis", "rustls", "testing", "tokio"],
    ),
    (
        "body",
        &["words", "wire"],
        &[
            "bytes",
            "http",
            "http_body",
            "http_body_util",
            "pin_project_lite",
            "serde_json",
            "tokio",
        ],
    ),
    (
        "adapter",
        &["words", "body"],
        &[
            "axum_core",
            "bytes",
            "h2",
            "http",
            "http_body",
            "hyper",
            "hyper_util",
            "reqwest",
            "reqwest_middleware",
            "tonic",
            "tower_http",
        ],
    ),
    (
        "resend",
        &[],
        &["http", "pin_project_lite", "tokio", "tower_service"],
    ),
    (
        "rate_limit",
        &[
            "clock", "words", "wire", "observe", "limiter", "body", "adapter",
        ],
        &[
            "bytes",
            "http",
            "http_body",
            "pin_project_lite",
            "tokio",
            "tower_layer",
            "tower_service",
        ],
    ),
    (
        "jobs",
        &["words", "wire", "observe", "limiter"],
        &[
            "bytes",
            "fastrand",
            "http",
            "http_body",
            "http_body_util",
            "tokio",
            "tower_service",
        ],
    ),
    (
        "retry",
        &[
            "clock", "words", "wire", "observe", "body", "adapter", "resend",
        ],
        &[
            "bytes",
            "fastrand",
            "http",
            "http_body",
            "pin_project_lite",
            "tokio",
            "tower_layer",
            "tower_service",
        ],
    ),
    (
        "fallback",
        &["clock", "words", "wire", "observe", "body", "resend"],
        &[
            "bytes",
            "http",
            "http_body",
            "pin_project_lite",
            "tokio",
            "tower_layer",
            "tower_service",
        ],
    ),
    (
        "layer",
        &["words", "limiter", "rate_limit", "retry"],
        &["tower_layer"],
    ),
    (
        "stack",
        &[
            "words",
            "adapter",
            "rate_limit",
            "retry",
            "fallback",
            "layer",
        ],
        &[
            "async_openai",
            "bytes",
            "http",
            "http_body",
            "http_body_util",
            "pin_project_lite",
            "reqwest",
            "reqwest_middleware",
            "tower_layer",
            "tower_service",
        ],
    ),
];

const EVERYWHERE: [&str; 3] = ["std", "self", "super"];

#[test]
fn every_file_imports_only_from_the_layers_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut read = 0;
    for (layer, layers, crates) in LAYERS {
        let files = files_of(&source, layer);
        assert!(!files.is_empty(), "there is no layer {layer}");
        for (file, text) in files {
            read += 1;
            for (kind, name) in Names::of(&text).0 {
                let name = name.as_str();
                let fine = match kind {
                    Kind::Layer => name == layer || layers.contains(&name),
                    Kind::Crate => crates.contains(&name) || EVERYWHERE.contains(&name),
                };
                if !fine {
                    wrong.push(format!("{file}: {name}"));
                }
            }
        }
    }
    assert!(read > 40, "only {read} files were read");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The imports of a file, without its unit tests: the first word after `use`, or after `crate::` anywhere.
#[derive(Default)]
struct Names(Vec<(Kind, String)>);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Layer,
    Crate,
}

impl Names {
    fn of(text: &str) -> Self {
        let mut names = Self::default();
        names.visit_file(&syn::parse_file(text).unwrap());
        // `use Enum::{..}` is no import from another file.
        names
            .0
            .retain(|(_, name)| name.starts_with(char::is_lowercase));
        names
    }

    fn tree(&mut self, kind: Kind, tree: &UseTree) {
        match tree {
            UseTree::Path(path) if path.ident == "crate" => self.tree(Kind::Layer, &path.tree),
            UseTree::Path(path) => self.0.push((kind, path.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(kind, tree)),
            UseTree::Name(name) => self.0.push((kind, name.ident.to_string())),
            UseTree::Rename(_) | UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(Kind::Crate, &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut words = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        if words.next().as_deref() == Some("crate") {
            self.0
                .extend(words.next().map(|layer| (Kind::Layer, layer)));
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }
}

fn files_of(source: &Path, layer: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut places = vec![source.join(layer), source.join(format!("{layer}.rs"))];
    while let Some(place) = places.pop() {
        // The model checker's stand-ins and the script's trace are tests too.
        let tests = ["tests.rs", "tests", "limiter/checker", "redis/trace.rs"];
        if tests.iter().any(|name| place.ends_with(name)) || !place.exists() {
            continue;
        }
        if place.is_dir() {
            let entries = fs::read_dir(&place).unwrap();
            places.extend(entries.map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&place).unwrap();
            files.push((place.display().to_string(), text));
        }
    }
    files
}
