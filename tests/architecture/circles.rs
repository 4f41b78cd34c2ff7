//! No modules of a crate import from each other in a circle, directly or not. A re-exported name counts as one of the
//! file that defines it, whether its path begins with `crate` or with `super`. A module may use what the file of its own
//! folder defines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{
    ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// The folders of the members. The root is the folder of `tower-together` itself.
const MEMBERS: [&str; 8] = [
    "",
    "bench",
    "gateway",
    "jobs",
    "simulation",
    "stacks",
    "standin",
    "testing",
];

#[test]
fn no_modules_import_from_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut read, mut circles) = (0, Vec::new());
    for member in MEMBERS {
        let source = root.join(member).join("src");
        for file in ["lib.rs", "main.rs"].map(|name| source.join(name)) {
            if file.exists() {
                let modules = Modules::of(&file, &source);
                read += modules.0.len();
                let place = file.strip_prefix(root).unwrap().display();
                let found = modules.circles();
                circles.extend(found.iter().map(|circle| format!("{place}: {circle}")));
            }
        }
    }
    assert!(read > 300, "only {read} files were read");
    assert!(circles.is_empty(), "{circles:#?}");
}

/// The words of a path: `["limiter", "state"]` is `crate::limiter::state`.
type Name = Vec<String>;

/// The modules of a crate that have a file each.
#[derive(Default)]
struct Modules(BTreeMap<Name, Code>);

impl Modules {
    /// The modules of the crate that has this file as its root.
    fn of(file: &Path, folder: &Path) -> Self {
        let mut modules = Self::default();
        modules.read(file, folder, Vec::new());
        modules
    }

    /// Reads the file of a module, and of the modules in it, which are in `folder`.
    fn read(&mut self, file: &Path, folder: &Path, name: Name) {
        let code = Code::of(name.clone(), &fs::read_to_string(file).unwrap());
        for inner in &code.modules {
            let folder = folder.join(inner);
            let files = [folder.with_extension("rs"), folder.join("mod.rs")];
            let file = files.iter().find(|file| file.exists());
            let name = [&name[..], std::slice::from_ref(inner)].concat();
            self.read(file.expect("a module has a file"), &folder, name);
        }
        self.0.insert(name, code);
    }

    /// The modules that import from each other, directly or not.
    fn circles(&self) -> BTreeSet<String> {
        let imports = self.imports();
        let reached = imports.keys().map(|from| (from, reach(&imports, from)));
        let reached: BTreeMap<_, _> = reached.collect();
        let circle = |(from, all): (&&Name, &BTreeSet<Name>)| {
            let back = all.iter().filter(|to| reached[to].contains(*from));
            let names = back.map(|name| format!("crate::{}", name.join("::")));
            names.collect::<Vec<_>>().join(", ")
        };
        let circles = reached.iter().map(circle);
        circles.filter(|circle| !circle.is_empty()).collect()
    }

    /// The modules that each module imports from.
    fn imports(&self) -> BTreeMap<Name, BTreeSet<Name>> {
        let imports = self.0.iter().map(|(from, code)| {
            let files = code.paths.iter().map(|path| self.file_of(path));
            let files = files.filter(|to| !from.starts_with(to));
            (from.clone(), files.collect())
        });
        imports.collect()
    }

    /// The module that defines the item of a path.
    fn file_of(&self, path: &[String]) -> Name {
        let length = (0..=path.len()).rev();
        let mut lengths = length.filter(|length| self.0.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(lengths.next().expect("the root is a module"));
        let code = &self.0[module];
        match rest.first().and_then(|word| code.names.get(word)) {
            Some(original) if original != path => self.file_of(original),
            _ => module.to_vec(),
        }
    }
}

/// The modules that `from` imports from, directly or not.
fn reach(imports: &BTreeMap<Name, BTreeSet<Name>>, from: &Name) -> BTreeSet<Name> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(from) = next.pop() {
        let all = imports.get(from).into_iter().flatten();
        next.extend(all.filter(|to| reached.insert((*to).clone())));
    }
    reached
}

/// The code of a module, without its unit tests.
#[derive(Default)]
struct Code {
    module: Name,
    /// The modules in it that have files of their own.
    modules: Vec<String>,
    /// The names from elsewhere that are in scope, or are re-exported, and their paths.
    names: BTreeMap<String, Name>,
    /// The paths that it uses.
    paths: BTreeSet<Name>,
}

impl Code {
    fn of(module: Name, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap();
        let modules = file.items.iter().filter_map(|item| match item {
            syn::Item::Mod(item) if item.content.is_none() && !is_for_tests(&item.attrs) => {
                Some(item.ident.to_string())
            }
            _ => None,
        });
        let mut code = Self {
            module,
            modules: modules.collect(),
            ..Self::default()
        };
        code.visit_file(&file);
        code
    }

    fn import(&mut self, before: &[String], tree: &UseTree, exported: bool) {
        let with = |word: &syn::Ident| [before, &[word.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.import(&with(&path.ident), &path.tree, exported),
            UseTree::Group(group) => {
                let trees = group.items.iter();
                return trees.for_each(|tree| self.import(before, tree, exported));
            }
            UseTree::Name(name) if name.ident == "self" => (before.to_vec(), before.last()),
            UseTree::Name(name) => (with(&name.ident), Some(&name.ident.to_string())),
            UseTree::Rename(name) => (with(&name.ident), Some(&name.rename.to_string())),
            UseTree::Glob(_) => (before.to_vec(), None),
        };
        if let Some(path) = self.resolve(path) {
            self.names
                .extend(name.map(|name| (name.clone(), path.clone())));
            if !exported {
                self.paths.insert(path);
            }
        }
    }

    /// A path from the root of the crate, unless it is of another crate or of this module.
    fn resolve(&self, path: Name) -> Option<Name> {
        let first = path.first()?;
        let mut name = match &**first {
            "crate" => Vec::new(),
            "self" | "super" => self.module.clone(),
            module if self.modules.iter().any(|name| name == module) => self.module.clone(),
            _ => self.names.get(first)?.clone(),
        };
        let known = self.names.contains_key(first) && !self.modules.contains(first);
        for word in path.into_iter().skip(usize::from(known)) {
            match &*word {
                "crate" | "self" => {}
                "super" => drop(name.pop()),
                _ => name.push(word),
            }
        }
        Some(name)
    }
}

impl<'ast> Visit<'ast> for Code {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_for_tests(&item.attrs) {
            let exported = !matches!(item.vis, Visibility::Inherited);
            self.import(&[], &item.tree, exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path.segments.iter();
        let path_of = words.map(|segment| segment.ident.to_string()).collect();
        self.paths.extend(self.resolve(path_of));
        visit::visit_path(self, path);
    }

    /// `pub(super)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}
}

/// Whether an item is compiled for tests alone, or for the model checker.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string().contains("test"))
    })
}
