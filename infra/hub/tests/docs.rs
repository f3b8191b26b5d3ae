//! The pages that the code refers to exist, and the generated pages agree with their data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use canonical::{ObjectType, fields_of};
use hub::config::{DEFAULT, DEFAULT_PATH, Loaded, Source, compile};
use hub::docs::{FOLDER, Facts, Page, faults, pages, written_pages};
use providers::Provider;
use sync::failure::Code;

fn page(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_error_code_has_a_page_with_its_class_and_steps() {
    for code in Code::ALL {
        let text = page(&format!("errors/{code}.md"));
        assert!(text.starts_with(&format!("# {code}\n")), "{code}: the title differs");
        assert!(text.contains(&format!("**Class:** `{}`", code.class().name())), "{code}: the class differs");
        assert!(text.contains("\n## What to do\n\n1. "), "{code}: no steps");
    }
}

#[test]
fn every_error_page_has_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for entry in std::fs::read_dir(folder).expect("docs/errors") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let code = name.strip_suffix(".md").unwrap_or(&name);
        assert!(code == "README" || Code::ALL.iter().any(|c| c.name() == code), "{name} is about a code that does not exist");
    }
}

/// The tables in docs/configuration.md agree with the default configuration.
#[test]
fn the_documented_tables_are_those_of_the_default() {
    let text = page("configuration.md");
    let source = Source::new("hub.toml", DEFAULT);
    let (compiled, _) = compile(&source, &["generic-form", "hubspot", "salesforce", "stripe"]);
    let hub = compiled.expect("the default compiles").hub;
    for (object, policy) in hub.objects.iter().filter(|(_, p)| !p.destinations.is_empty()) {
        let cells: Vec<String> = policy.destinations.values().map(|native| format!("`{native}`")).collect();
        let row = format!("| {object} | {} |", cells.join(" | "));
        assert!(text.contains(&row), "the table of objects lacks: {row}");
    }
    for effect in &hub.effects {
        let status = effect.when.get("status").map(|values| values.join(", ")).unwrap_or_default();
        assert!(text.contains(&format!("| {} | {status} |", effect.from)), "the table of effects lacks {} {status}", effect.from);
        assert!(text.contains(&effect.why), "the table of effects lacks the reason: {}", effect.why);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages for the default configuration and these folders.
fn generated(names: &[&'static str]) -> Vec<Page> {
    let path = root().join(DEFAULT_PATH);
    let loaded = Loaded::new(DEFAULT_PATH, DEFAULT.to_owned(), path.parent());
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("template.yaml");
    pages(&Facts::new(&loaded, names, &template).expect("the facts"))
}

fn text<'p>(pages: &'p [Page], name: &str) -> &'p str {
    &pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no page {name}")).text
}

/// Parses RFC 4180 strictly: records end in CR LF, and a quote appears only inside quotes and doubled.
fn records(csv: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut rest = csv;
    while !rest.is_empty() {
        let mut record = Vec::new();
        loop {
            let mut cell = String::new();
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = quoted;
                loop {
                    let (part, tail) = rest.split_once('"').expect("a closing quote");
                    cell.push_str(part);
                    rest = tail;
                    match rest.strip_prefix('"') {
                        Some(tail) => rest = tail,
                        None => break,
                    }
                    cell.push('"');
                }
            } else {
                let end = rest.find([',', '\r']).expect("an end of the cell");
                cell.push_str(&rest[..end]);
                assert!(!cell.contains(['"', '\n']), "an unquoted cell: {cell}");
                rest = &rest[end..];
            }
            record.push(cell);
            match rest.strip_prefix(',') {
                Some(tail) => rest = tail,
                None => break,
            }
        }
        rest = rest.strip_prefix("\r\n").expect("CR LF");
        records.push(record);
    }
    records
}

#[test]
fn the_generated_pages_are_fresh() {
    let pages = generated(Provider::builtin_names());
    let faults = faults(&root().join(FOLDER), &pages).expect("docs/generated");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_generated_parts_of_written_pages_are_fresh() {
    for page in written_pages().expect("the pages have every part") {
        assert!(page.text == page.fresh, "{} is stale; run `cargo hub docs`", page.path.display());
    }
}

#[test]
fn the_table_holds_every_field_and_its_rules() {
    let pages = generated(Provider::builtin_names());
    let records = records(text(&pages, "data-dictionary.csv"));
    let (header, lines) = records.split_first().expect("a header");
    let column = |name: &str| header.iter().position(|cell| cell == name).unwrap_or_else(|| panic!("no column {name}"));
    assert!(lines.iter().all(|line| line.len() == header.len()), "every line has every column");
    let named: BTreeSet<(&str, &str)> = lines.iter().map(|line| (line[0].as_str(), line[1].as_str())).collect();
    let known = ObjectType::ALL.iter().flat_map(|object| fields_of(*object)).map(|def| (def.object.name(), def.name));
    assert_eq!(named, known.collect());
    let line = |object: &str, field: &str, provider: &str| {
        let found = lines.iter().find(|l| l[0] == object && l[1] == field && l[column("provider")] == provider);
        found.unwrap_or_else(|| panic!("{object}.{field} of {provider}"))
    };
    let name = line("contact", "last_name", "salesforce");
    assert_eq!(name[column("validation")], "required there; at most 80 characters there; longer text is cut");
    assert_eq!(name[column("direction")], "both");
    assert_eq!(name[column("native_property")], "LastName");
    let phone = line("contact", "phone", "hubspot");
    assert!(phone[column("transformation_in")].starts_with("phone number to E.164, with the country from `properties."));
    let stage = line("deal", "stage", "hubspot");
    assert!(stage[column("transformation_in")].contains("`closedwon` → `closed_won`"));
    assert!(stage[column("transformation_out")].contains("`closed_won` → `closedwon`"));
    assert!(stage[column("reason")].contains("pipeline"), "the comment above a rule is its reason");
    let total = line("invoice", "total", "stripe");
    assert!(total[column("transformation_in")].contains("minor units (cents), currency from `currency`"));
    assert_eq!(total[column("direction")], "in", "no destination receives it");
}

#[test]
fn the_page_for_people_loads_nothing() {
    let pages = generated(Provider::builtin_names());
    let html = text(&pages, "data-dictionary.html");
    for loading in ["src=", "srcset=", "<link", "<img", "<iframe", "<object ", "url(", "@import", "fetch(", "XMLHttp", "import("]
    {
        assert!(!html.contains(loading), "{loading}");
    }
    let (markup, _) = html.split_once("<script>").expect("a script");
    let links = markup.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    for link in links {
        assert!(link.starts_with('#') && html.contains(&format!("id=\"{}\"", &link[1..])), "{link} leads nowhere");
    }
    assert_eq!(markup.matches("<code").count(), markup.matches("</code>").count());
}

#[test]
fn a_removed_provider_leaves_no_trace() {
    let all = Provider::builtin_names();
    let whole = generated(all);
    let before = records(text(&whole, "data-dictionary.csv"));
    let column = before[0].iter().position(|cell| cell == "provider").expect("the column");
    let source = Source::new("hub.toml", DEFAULT);
    let connected: BTreeSet<String> =
        compile(&source, all).0.expect("TOML").hub.connections.into_values().map(|c| c.provider).collect();
    for removed in all.iter().filter(|name| !connected.contains(**name)) {
        let rest: Vec<&'static str> = all.iter().copied().filter(|name| name != removed).collect();
        let pages = generated(&rest);
        let title = Provider::builtin(removed, &Default::default()).expect("the folder").manifest().provider.title.clone();
        let traces = [
            format!("shared/providers/{removed}/"),
            format!("data-provider=\"{removed}\""),
            format!("<option>{removed}</option>"),
            format!("(#{removed})"),
            format!("id=\"{removed}\""),
            format!("| {title} |"),
        ];
        for page in &pages {
            traces.iter().for_each(|trace| assert!(!page.text.contains(trace), "{}: {trace}", page.name));
        }
        let after = records(text(&pages, "data-dictionary.csv"));
        // Directions of fields may change, and a field without a mapping gets a line of its own.
        let mapped = |records: &[Vec<String>]| {
            records.iter().filter(|r| !r[column].is_empty()).map(|r| r[column..].to_vec()).collect::<Vec<_>>()
        };
        let expected: Vec<Vec<String>> = mapped(&before).into_iter().filter(|tail| tail[0] != *removed).collect();
        assert_eq!(mapped(&after), expected, "without {removed}, the lines of the others stay");
    }
}

#[test]
fn check_names_what_is_missing_stale_or_left_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hub"));
        command.args(["docs", "--out", out]).args(more).current_dir(root());
        command.output().expect("the command runs").status.success()
    };
    let pages = generated(Provider::builtin_names());
    let faults = || faults(folder.path(), &pages).expect("readable");
    assert!(faults().iter().all(|fault| fault.contains(" is missing; run `cargo hub docs`")));
    assert_eq!(faults().len(), pages.len());
    assert!(!run(&["--check"]));
    assert!(run(&[]));
    assert!(run(&["--check"]));
    std::fs::write(folder.path().join("event-sla.md"), "old").expect("written");
    std::fs::write(folder.path().join("more.md"), "").expect("written");
    let found = faults();
    assert!(found[0].contains("event-sla.md is stale; run `cargo hub docs`"), "{found:?}");
    assert!(found[1].contains("more.md is left over; run `rm "), "{found:?}");
    assert!(!run(&["--check"]));
}
