//! The repository's Rust files as the tests of its shape read them: by crate, with their tokens. Nothing is compiled.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};

/// Folders that hold no source of ours.
const SKIPPED: [&str; 5] = ["target", ".git", ".hub", ".venv", ".aws-sam"];

/// One Rust file.
pub struct SourceFile {
    /// The folder of its crate, relative to the repository.
    pub package: String,
    /// Its path, relative to the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// The file's tokens: comments are left out, doc comments are literals.
    pub fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file, in the order of the paths.
pub fn files() -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&root(), Path::new(""), "", &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 200, "only {} Rust files were found", found.len());
    found
}

fn collect(folder: &Path, relative: &Path, package: &str, found: &mut Vec<SourceFile>) {
    let own = relative.to_string_lossy().into_owned();
    let package = if folder.join("Cargo.toml").is_file() { own.as_str() } else { package };
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let below = relative.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&entry.path(), &below, package, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).unwrap();
            found.push(SourceFile { package: package.to_owned(), path: below.to_string_lossy().into_owned(), text });
        }
    }
}

/// Calls `visit` for every identifier, also inside the arguments of macros.
pub fn identifiers(tokens: TokenStream, visit: &mut dyn FnMut(&Ident)) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => visit(&ident),
            TokenTree::Group(group) => identifiers(group.stream(), visit),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
