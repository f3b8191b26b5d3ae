//! Which crate may use which: this keeps the pure crates pure and the functions thin.

use std::fs;
use std::path::Path;

use crate::source::root;

/// The names of a package's dependencies, without those of its tests.
fn dependencies(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest.get("dependencies").and_then(|d| d.as_table()).map(|d| d.keys().cloned().collect()).unwrap_or_default()
}

/// The pure crates from the bottom up. Each may use those before it.
const PURE: &[&str] = &["canonical", "mapping", "webhook", "providers", "sync"];

#[test]
fn pure_crates_know_neither_aws_nor_http_nor_a_runtime() {
    for (at, name) in PURE.iter().enumerate() {
        for dependency in dependencies(&root().join("shared").join(name)) {
            let outside = ["aws", "lambda", "hyper", "tokio", "axum", "reqwest", "http"];
            assert!(!outside.iter().any(|prefix| dependency.starts_with(prefix)), "{name} uses {dependency}");
            let ours = PURE.iter().position(|other| *other == dependency);
            assert!(ours.is_none_or(|other| other < at), "{name} uses {dependency}, which is above it");
            assert!(
                !["adapters", "runtime", "testkit", "sandbox", "local", "hub"].contains(&dependency.as_str()),
                "{name} uses {dependency}"
            );
        }
    }
}

#[test]
fn only_the_adapters_name_the_sdk() {
    for group in ["shared", "functions", "infra"] {
        for entry in fs::read_dir(root().join(group)).unwrap() {
            let folder = entry.unwrap().path();
            if !folder.join("Cargo.toml").is_file() || folder.ends_with("adapters") {
                continue;
            }
            for dependency in dependencies(&folder) {
                assert!(!dependency.starts_with("aws-sdk"), "{} uses {dependency}", folder.display());
            }
        }
    }
}

#[test]
fn functions_are_wiring() {
    for entry in fs::read_dir(root().join("functions")).unwrap() {
        let folder = entry.unwrap().path();
        let sources: Vec<_> = fs::read_dir(folder.join("src")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(sources.len(), 1, "{} has more than its main", folder.display());
        let lines = fs::read_to_string(&sources[0]).unwrap().lines().filter(|l| !l.trim_start().starts_with("//")).count();
        assert!(lines <= 60, "{} has {lines} lines: handlers live in shared/sync", folder.display());
        for forbidden in ["testkit", "sandbox", "local", "hub", "dynoxide-rs"] {
            assert!(!dependencies(&folder).contains(&forbidden.to_owned()), "{} uses {forbidden}", folder.display());
        }
    }
}

#[test]
fn planted_bugs_are_in_no_function() {
    for entry in fs::read_dir(root().join("functions")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).unwrap();
        assert!(!text.contains("mutants"));
    }
    let text = fs::read_to_string(root().join("shared/sync/Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let default = manifest["features"].get("default").and_then(|d| d.as_array()).cloned().unwrap_or_default();
    assert!(default.is_empty(), "the feature `mutants` must not be a default one: {default:?}");
}

/// Telephone numbers need numbering plans, a quarter of a megabyte that `receive` must not carry or start with.
#[test]
fn only_functions_that_map_records_link_numbering_plans() {
    let text = fs::read_to_string(root().join("shared/mapping/Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let plans = &manifest["dependencies"]["rlibphonenumber"];
    assert_eq!(plans.get("optional").and_then(toml::Value::as_bool), Some(true));
    assert_eq!(manifest["features"]["phone"].as_array().map(Vec::len), Some(1));
    assert!(manifest["features"].get("default").is_none());
    for entry in fs::read_dir(root().join("functions")).unwrap() {
        let folder = entry.unwrap().path();
        let maps = folder.ends_with("transform") || folder.ends_with("upsert");
        let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(text.contains("\"phone\""), maps, "{}", folder.display());
    }
}

/// Only verified requests and records that were read become envelopes (I9), because nothing else sends messages or calls providers.
/// The copy of a rehearsal is a port itself: it hands the reads of the client on to the real one. A refresh calls a token endpoint,
/// which takes no access token, and reads no record.
#[test]
fn messages_leave_by_the_outbox_and_calls_by_the_client() {
    let allowed = [
        (".send(", vec!["outbox.rs"]),
        (".http(", vec!["client.rs", "receive/sns.rs", "rehearsal/copy.rs", "rotate/refresh.rs"]),
    ];
    let files = crate::source::files();
    for (call, expected) in allowed {
        let here = |file: &&crate::source::SourceFile| file.path.starts_with("shared/sync/src/") && file.text.contains(call);
        let callers: Vec<&str> = files.iter().filter(here).filter_map(|f| f.path.strip_prefix("shared/sync/src/")).collect();
        assert_eq!(callers, expected, "who contains `{call}`");
    }
}
