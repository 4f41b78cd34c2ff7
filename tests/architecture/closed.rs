//! A variant of an enum, or a public field, can be added without breaking callers: `#[non_exhaustive]` is on all that
//! have them, in the crates to be published.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Fields, ItemEnum, ItemStruct, Visibility,
    visit::{self, Visit},
};

#[test]
fn public_enums_and_fields_are_non_exhaustive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Found::default();
    for folder in ["src", "jobs/src", "standin/src"] {
        for file in files(&root.join(folder)) {
            let code = fs::read_to_string(&file).unwrap();
            found.visit_file(&syn::parse_file(&code).unwrap());
        }
    }
    assert!(found.closed > 20, "only {} were found", found.closed);
    assert!(found.open.is_empty(), "{:?}", found.open);
}

/// Every file beneath this folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let paths = entries.map(|entry| entry.path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

#[derive(Default)]
struct Found {
    closed: usize,
    open: Vec<String>,
}

impl Found {
    fn look(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        let is_closed = |found: &Attribute| found.path().is_ident("non_exhaustive");
        match attributes.iter().any(is_closed) {
            true => self.closed += 1,
            false => self.open.push(name.to_string()),
        }
    }
}

impl<'a> Visit<'a> for Found {
    fn visit_item_enum(&mut self, item: &'a ItemEnum) {
        if is_public(&item.vis) {
            self.look(&item.ident, &item.attrs);
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_struct(&mut self, item: &'a ItemStruct) {
        let has_public = match &item.fields {
            Fields::Unit => false,
            fields => fields.iter().any(|field| is_public(&field.vis)),
        };
        if is_public(&item.vis) && has_public {
            self.look(&item.ident, &item.attrs);
        }
        visit::visit_item_struct(self, item);
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
