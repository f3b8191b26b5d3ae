//! The size of functions and files, and that each file says what it is for.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::files;

/// Most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 60;
/// Most lines of a file.
const FILE_LINES: usize = 500;

/// Files that may be longer: path, reason.
const LONG_FILES: &[(&str, &str)] = &[("shared/canonical/src/catalogue.rs", "the table of all canonical fields is data")];

/// Functions that may be longer: path, name, reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions with a body, also those inside the arguments of macros.
fn functions(tokens: TokenStream, found: &mut Vec<Function>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(keyword) if keyword == "fn" => {
                let Some(TokenTree::Ident(name)) = tokens.get(index + 1) else { continue };
                let body = tokens[index..].iter().find_map(|token| match token {
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group)),
                    TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
                    _ => None,
                });
                let Some(Some(body)) = body else { continue };
                let line = keyword.span().start().line;
                found.push(Function { name: name.to_string(), line, lines: body.span_close().end().line - line + 1 });
            }
            TokenTree::Group(group) => functions(group.stream(), found),
            _ => {}
        }
    }
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{} {what}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for file in files() {
        let mut all = Vec::new();
        functions(file.tokens(), &mut all);
        for Function { name, line, lines } in all {
            let excepted = LONG_FUNCTIONS.iter().any(|(path, function, _)| file.path == *path && name == *function);
            if lines > FUNCTION_LINES && !excepted {
                long.push(format!("{}:{line}: `{name}` has {lines} lines", file.path));
            }
        }
    }
    assert_none(&format!("functions have more than {FUNCTION_LINES} lines"), &long);
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for file in files() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES && !LONG_FILES.iter().any(|(path, _)| file.path == *path) {
            long.push(format!("{} has {lines} lines", file.path));
        }
    }
    assert_none(&format!("files have more than {FILE_LINES} lines"), &long);
}

#[test]
fn exceptions_are_needed() {
    let files = files();
    for (path, _) in LONG_FILES {
        let file = files.iter().find(|file| file.path == *path).unwrap_or_else(|| panic!("there is no {path}"));
        assert!(file.text.lines().count() > FILE_LINES, "{path} is short now: take it off the list");
    }
    for (path, name, _) in LONG_FUNCTIONS {
        let file = files.iter().find(|file| file.path == *path).unwrap_or_else(|| panic!("there is no {path}"));
        let mut all = Vec::new();
        functions(file.tokens(), &mut all);
        let long = all.iter().any(|function| function.name == *name && function.lines > FUNCTION_LINES);
        assert!(long, "`{name}` of {path} is short now: take it off the list");
    }
}

#[test]
fn every_file_opens_with_its_purpose() {
    let without: Vec<String> = files().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    assert_none("files do not open with a `//!` line", &without);
}

#[test]
fn functions_are_found_and_measured() {
    let text = "trait T { fn a(); fn b(&self) {\n} }\nproptest! {\n fn c(x in 0..3)\n -> u8 {\n 1\n }\n}\ntype F = fn(u8) -> u8;";
    let mut all = Vec::new();
    functions(text.parse().unwrap(), &mut all);
    let found: Vec<_> = all.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(found, [("b", 1, 2), ("c", 4, 4)]);
}
