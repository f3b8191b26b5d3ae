//! No circle of imports between the files of a crate.
//!
//! A folder with its entrance (`upsert/mod.rs` and `upsert/*.rs`, or `lib.rs` and everything below it) is one room: what a module
//! and the modules inside it take from each other does not count, since `mod`, `pub use` and an `impl` that is spread over the files
//! of a folder need that. Between rooms it counts: when `a/x.rs` names an item of `b/y.rs`, `a` needs `b`, whether by `use` or by a
//! path in the code, and also where the name comes through a `use` of a module above. At each level the rooms must form layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::{SourceFile, files};

/// Longest chain of names that lead to other names.
const CHAIN: usize = 16;

type ModulePath = Vec<String>;

/// A path in the code, relative to the crate, and what it stands for there.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    /// From the crate's root.
    path: ModulePath,
    /// The name by which it is known in its module.
    name: String,
    line: usize,
}

/// A file as a module.
#[derive(Debug, Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// Names that `use` brings into the module.
    uses: Vec<Named>,
    /// Everything that the file names by a path inside its crate.
    paths: Vec<Named>,
    /// Items that the file defines itself.
    defined: BTreeSet<String>,
}

type Modules = BTreeMap<ModulePath, Module>;

fn is(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == punct)
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// The leaves of a `use` tree, or the one path of an expression, that begins at `index`.
fn leaves(tokens: &[TokenTree], mut index: usize, prefix: &[String], found: &mut Vec<(ModulePath, String, usize)>) {
    let mut path = prefix.to_vec();
    let Some(line) = tokens.get(index).map(|token| token.span().start().line) else { return };
    loop {
        match tokens.get(index) {
            Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => return found.push((path, "*".to_owned(), line)),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is(Some(token), ',')).filter(|part| !part.is_empty()) {
                    leaves(part, 0, &path, found);
                }
                return;
            }
            _ => break,
        }
        if !(is(tokens.get(index + 1), ':') && is(tokens.get(index + 2), ':')) {
            break;
        }
        index += 3;
    }
    let alias = word(tokens.get(index + 1)).filter(|word| word == "as").and_then(|_| word(tokens.get(index + 2)));
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    found.push((path, name, line));
}

/// The path from the crate's root, if it stays inside the crate.
fn absolute(path: &[String], here: &[String], children: &BTreeSet<String>) -> Option<ModulePath> {
    let mut base = here.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {}
        first if children.contains(first) => {}
        _ => return None,
    }
    while let [first, after @ ..] = rest
        && first == "super"
    {
        base.pop();
        rest = after;
    }
    Some([base, rest.to_vec()].concat())
}

/// Names that the items of a module define.
fn definitions(tokens: &[TokenTree]) -> BTreeSet<String> {
    let keywords = ["fn", "struct", "enum", "trait", "const", "static", "type", "union"];
    let pairs = tokens.windows(2).filter(|pair| word(pair.first()).is_some_and(|word| keywords.contains(&word.as_str())));
    pairs.filter_map(|pair| word(pair.last())).collect()
}

/// Notes what the tokens name. `here` is the module that they are in, which may be one inside the file's own.
fn read(module: &mut Module, tokens: TokenStream, here: &[String], top: bool) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut in_use = false;
    for (index, token) in tokens.iter().enumerate() {
        let first = word(Some(token)).unwrap_or_default();
        let after_colons = index > 1 && is(tokens.get(index - 1), ':') && is(tokens.get(index - 2), ':');
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_use = false,
            TokenTree::Ident(ident) if ident == "use" => {
                in_use = true;
                let mut found = Vec::new();
                leaves(&tokens, index + 1, &[], &mut found);
                for (path, name, line) in found {
                    if let Some(path) = absolute(&path, here, &module.children) {
                        let named = Named { path, name, line };
                        module.uses.extend(top.then(|| named.clone()));
                        module.paths.push(named);
                    }
                }
            }
            TokenTree::Ident(_) if !in_use && !after_colons && ["crate", "super", "self"].contains(&first.as_str()) => {
                if !(is(tokens.get(index + 1), ':') && is(tokens.get(index + 2), ':')) {
                    continue;
                }
                let mut found = Vec::new();
                leaves(&tokens, index, &[], &mut found);
                let paths = found
                    .into_iter()
                    .filter_map(|(path, name, line)| Some(Named { path: absolute(&path, here, &module.children)?, name, line }));
                module.paths.extend(paths.collect::<Vec<_>>());
            }
            TokenTree::Group(group) if !in_use => {
                let inline = (index > 1 && word(tokens.get(index - 2)).is_some_and(|word| word == "mod"))
                    .then(|| word(tokens.get(index - 1)))
                    .flatten();
                let inside: ModulePath = here.iter().cloned().chain(inline).collect();
                read(module, group.stream(), &inside, false);
            }
            _ => {}
        }
    }
}

/// The modules that a file declares without a body, with the path that an attribute gives them.
fn declared(tokens: &[TokenTree]) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for index in 0..tokens.len() {
        if word(tokens.get(index)).is_none_or(|word| word != "mod") || !is(tokens.get(index + 2), ';') {
            continue;
        }
        let attribute = tokens[..index].iter().rev().take(4).find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(group.to_string()),
            _ => None,
        });
        let path = attribute.filter(|text| text.starts_with("[path")).and_then(|text| Some(text.split('"').nth(1)?.to_owned()));
        found.extend(word(tokens.get(index + 1)).map(|name| (name, path)));
    }
    found
}

/// Reads a file and the modules below it.
fn load(all: &BTreeMap<&str, &SourceFile>, file: &SourceFile, here: ModulePath, modules: &mut Modules) {
    let path = Path::new(&file.path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default();
    let entrance = here.is_empty() || stem == "mod";
    let below = if entrance { folder.to_owned() } else { folder.join(stem) };
    let tokens: Vec<TokenTree> = file.tokens().into_iter().collect();
    let mut module = Module { file: file.path.clone(), defined: definitions(&tokens), ..Module::default() };
    let mut children = Vec::new();
    for (name, named_path) in declared(&tokens) {
        let candidates = match named_path {
            Some(named) => vec![folder.join(named)],
            None => vec![below.join(format!("{name}.rs")), below.join(&name).join("mod.rs")],
        };
        let found = candidates.iter().find_map(|path| all.get(path.to_string_lossy().as_ref()));
        children.extend(found.map(|child| (name.clone(), *child)));
        module.children.insert(name);
    }
    read(&mut module, tokens.into_iter().collect(), &here, true);
    modules.insert(here.clone(), module);
    for (name, child) in children {
        load(all, child, [here.clone(), vec![name]].concat(), modules);
    }
}

/// The module of the file that defines what a path names.
fn defining(modules: &Modules, path: &[String], chain: usize) -> ModulePath {
    let mut at = Vec::new();
    for (index, segment) in path.iter().enumerate() {
        let Some(module) = modules.get(&at) else { return at };
        let below = [at.clone(), vec![segment.clone()]].concat();
        if modules.contains_key(&below) {
            at = below;
            continue;
        }
        if module.defined.contains(segment) || chain == 0 {
            return at;
        }
        let rest = &path[index + 1..];
        let explicit = module.uses.iter().find(|named| named.name == *segment && named.path != below);
        if let Some(named) = explicit {
            return defining(modules, &[&named.path, rest].concat(), chain - 1);
        }
        let globs = module.uses.iter().filter(|named| named.name == "*");
        let through = globs.map(|glob| [glob.path.as_slice(), &path[index..]].concat()).find(|through| {
            let target = defining(modules, through, chain - 1);
            modules.get(&target).is_some_and(|module| module.defined.contains(segment))
        });
        return through.map_or(at, |through| defining(modules, &through, chain - 1));
    }
    at
}

/// Who needs whom, per module whose children they are; with one line of code that shows it.
fn needs(modules: &Modules) -> BTreeMap<ModulePath, BTreeMap<(String, String), String>> {
    let mut needs: BTreeMap<ModulePath, BTreeMap<(String, String), String>> = BTreeMap::new();
    for (here, module) in modules {
        for named in &module.paths {
            let there = defining(modules, &named.path, CHAIN);
            let common = here.iter().zip(&there).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (here.get(common), there.get(common)) {
                let shown = format!("{}:{}: {}", module.file, named.line, named.path.join("::"));
                needs.entry(here[..common].to_vec()).or_default().entry((from.clone(), to.clone())).or_insert(shown);
            }
        }
    }
    needs
}

/// The imports that are part of a circle.
fn circles(needs: &BTreeMap<(String, String), String>) -> Vec<String> {
    let reaches = |from: &String, goal: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            if at == goal {
                return true;
            }
            if seen.insert(at) {
                open.extend(needs.keys().filter(|(one, _)| one == at).map(|(_, other)| other));
            }
        }
        false
    };
    needs
        .iter()
        .filter(|((from, to), _)| reaches(to, from))
        .map(|((from, to), at)| format!("{from} needs {to}  ({at})"))
        .collect()
}

/// The circles of the crate whose files these are.
fn circles_of(files: &[&SourceFile]) -> Vec<String> {
    let all: BTreeMap<&str, &SourceFile> = files.iter().map(|file| (file.path.as_str(), *file)).collect();
    let is_root = |file: &&&SourceFile| file.path.ends_with("/lib.rs") || file.path.ends_with("/main.rs");
    let mut found = Vec::new();
    for root in files.iter().filter(is_root) {
        let mut modules = Modules::new();
        load(&all, root, Vec::new(), &mut modules);
        found.extend(needs(&modules).values().flat_map(circles));
    }
    found
}

#[test]
fn files_import_each_other_in_layers() {
    let files = files();
    let packages: BTreeSet<&str> = files.iter().map(|file| file.package.as_str()).collect();
    assert!(packages.len() > 15, "only these crates were found: {packages:?}");
    let mut found = Vec::new();
    for package in packages {
        let own: Vec<&SourceFile> = files.iter().filter(|file| file.package == package).collect();
        found.extend(circles_of(&own));
    }
    assert!(found.is_empty(), "{} imports are part of a circle:\n{}", found.len(), found.join("\n"));
}

fn made_up(parts: &[(&str, &str)]) -> Vec<String> {
    let file = |(path, text): &(&str, &str)| SourceFile {
        package: String::new(),
        path: format!("x/src/{path}"),
        text: (*text).to_owned(),
    };
    let files: Vec<SourceFile> = parts.iter().map(file).collect();
    circles_of(&files.iter().collect::<Vec<_>>())
}

#[test]
fn circles_are_found() {
    let lib = ("lib.rs", "mod a; mod b; pub use b::B; fn own() { a::run() }");
    let two = made_up(&[lib, ("a.rs", "use crate::b::{B, other};"), ("b.rs", "pub struct B; fn f() { super::a::run(); }")]);
    assert_eq!(two.len(), 2, "{two:?}");
    let through_parent = made_up(&[lib, ("a.rs", "use crate::B;"), ("b.rs", "pub struct B; use crate::a;")]);
    assert_eq!(through_parent.len(), 2, "{through_parent:?}");
    let folders = [
        ("a/mod.rs", "mod x; mod y;"),
        ("a/x.rs", "use crate::b::B;"),
        ("a/y.rs", ""),
        ("b.rs", "use crate::a::y::Y; pub struct B;"),
    ];
    assert_eq!(made_up(&[&[lib][..], &folders].concat()).len(), 2);
}

#[test]
fn a_room_may_use_itself() {
    let parts = [
        ("lib.rs", "mod a; mod b; pub const N: u8 = 1;"),
        ("a/mod.rs", "mod x; pub use x::X; use x::helper; pub struct A; mod tests { use super::*; use super::x; }"),
        ("a/x.rs", "use super::A; use crate::N; use crate::b::B; pub struct X;"),
        ("b.rs", "pub struct B; fn f() { println!(\"crate::a::A\") }"),
    ];
    assert_eq!(made_up(&parts), Vec::<String>::new());
}
