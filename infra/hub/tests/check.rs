//! What `hub check` says about a configuration that is wrong.

use hub::config::{DEFAULT, Finding, Severity, Source, compile};

const PROVIDERS: &[&str] = &["generic-form", "hubspot", "salesforce", "stripe"];

fn findings(text: &str) -> (Source, Vec<Finding>) {
    let source = Source { path: "hub.toml".to_owned(), text: text.to_owned() };
    let (_, findings) = compile(&source, PROVIDERS);
    (source, findings)
}

/// The default with one passage replaced, so that every mistake stands in its natural surroundings.
fn with(old: &str, new: &str) -> (Source, Vec<Finding>) {
    assert_eq!(DEFAULT.matches(old).count(), 1, "`{old}` must be in the default exactly once");
    findings(&DEFAULT.replace(old, new))
}

fn only_message(old: &str, new: &str) -> String {
    let (source, findings) = with(old, new);
    let all: Vec<String> = findings.iter().map(|f| f.render(&source, false)).collect();
    assert_eq!(findings.len(), 1, "{}", all.join("\n\n"));
    all.into_iter().next().unwrap_or_default()
}

#[test]
fn the_default_has_nothing_wrong() {
    let (source, findings) = findings(DEFAULT);
    let all: Vec<String> = findings.iter().map(|f| f.render(&source, false)).collect();
    assert!(findings.is_empty(), "{}", all.join("\n\n"));
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_a_suggestion() {
    println!("{}", only_message("jitter_percent = 20", "jitter_pct = 20"));
    println!("{}", only_message("provider = \"stripe\"", "provider = \"strip\""));
    println!("{}", only_message("email         = { prefer = [\"stripe\", \"form\"], why = \"receipts and answers reach these addresses\" }", "email         = { prefer = [\"stripe\", \"from\"] }"));
}
