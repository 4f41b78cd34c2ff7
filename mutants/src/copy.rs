//! The copy of the sources.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{CRATES, list::Mutant};

/// Folders of the tool's copy, builds and results.
pub struct Places<'a> {
    pub root: &'a Path,
    pub tree: PathBuf,
    pub build: PathBuf,
    pub unviable: PathBuf,
}

/// Copies all files that git tracks or would track, except the files of `mutants`, which are returned.
pub fn copy(places: &Places<'_>, mutants: &[Mutant]) -> HashSet<PathBuf> {
    let mut list = Command::new("git");
    list.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = list
        .current_dir(places.root)
        .output()
        .expect("git runs")
        .stdout;
    let list = String::from_utf8(list).expect("names are UTF-8");
    let mutated: HashSet<PathBuf> = mutants.iter().map(|mutant| (&mutant.file).into()).collect();
    let roots = CRATES.iter().map(PathBuf::from);
    let woven: HashSet<PathBuf> = mutated.into_iter().chain(roots).collect();
    let names = list.split_terminator('\0').map(Path::new);
    let names: HashSet<&Path> = names
        .filter(|name| places.root.join(name).is_file())
        .collect();
    for name in names.iter().filter(|name| !woven.contains(**name)) {
        let content = fs::read(places.root.join(name)).expect("the source is readable");
        write(&places.tree.join(name), &content);
    }
    remove_others(&places.tree, &places.tree, &names);
    woven
}

/// Writes a file only if its content differs, so that cargo rebuilds only changed files.
pub fn write(file: &Path, content: &[u8]) {
    if fs::read(file).is_ok_and(|old| old == content) {
        return;
    }
    fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("target is writable");
    fs::write(file, content).expect("target is writable");
}

fn remove_others(tree: &Path, folder: &Path, names: &HashSet<&Path>) {
    for entry in fs::read_dir(folder)
        .expect("the copy is readable")
        .flatten()
    {
        let path = entry.path();
        let name = path.strip_prefix(tree).expect("the entry is in the copy");
        if path.is_dir() {
            remove_others(tree, &path, names);
        } else if !names.contains(name) {
            fs::remove_file(&path).expect("target is writable");
        }
    }
}
