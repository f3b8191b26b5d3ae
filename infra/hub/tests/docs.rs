//! The pages that the code points at exist.

use std::path::Path;

use hub::config::{DEFAULT, Source, compile};
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
fn no_page_is_left_of_a_code_that_is_gone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for entry in std::fs::read_dir(folder).expect("docs/errors") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let code = name.strip_suffix(".md").unwrap_or(&name);
        assert!(code == "README" || Code::ALL.iter().any(|c| c.name() == code), "{name} belongs to no code");
    }
}

/// The tables in docs/configuration.md say what the default configuration says.
#[test]
fn the_documented_tables_are_those_of_the_default() {
    let text = page("configuration.md");
    let source = Source { path: "hub.toml".into(), text: DEFAULT.into() };
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
