//! Any one provider can be left out at run time, and the rest still works: signatures, configuration and generated pages. (The
//! scripts of the demo are tested beside the demo.)

use hub::config::{Changes, DEFAULT, Loaded};
use hub::docs::{Facts, pages};
use hub::verify::vectors;
use providers::{LoadError, Overrides, Registry};

const TEMPLATE: &str = include_str!("../../../template.yaml");

/// A known answer for each provider: a webhook without a signature does not verify.
fn unsigned(names: &[&str]) -> String {
    let vector = |name: &&str| {
        serde_json::json!({"id": name, "provider": name, "kind": "none", "secret": "c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
            "headers": {}, "method": "POST", "body": "{\"a\":1}", "at": 1_790_000_000, "tolerance_s": 300, "valid": false})
        .to_string()
    };
    names.iter().map(vector).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_provider_can_be_left_out_alone() {
    let all = Registry::default();
    let known = unsigned(all.names());
    assert_eq!(vectors(&all, &known, None, 0).lines, Vec::<String>::new());
    let default = Loaded::new("hub.toml", DEFAULT.to_owned(), None);
    let used: Vec<&str> = default.sound().unwrap().hub.connections.values().map(|c| c.provider.as_str()).collect();
    for name in all.names() {
        let rest = all.clone().without(&[name]).unwrap();
        assert!(matches!(rest.open(name, &Overrides::default()), Err(LoadError::Unknown(_))), "{name}");
        let report = vectors(&rest, &known, None, 0);
        assert_eq!((report.passed, report.failed), (all.names().len() - 1, 1), "{name}");
        assert!(report.lines[0].contains(name) && report.lines[0].contains("not supported"), "{name}: {:?}", report.lines);
        let loaded = Loaded::with(&rest, "hub.toml", DEFAULT.to_owned(), None);
        assert_eq!(loaded.pack(&Changes::default()).is_ok(), !used.contains(name), "{name}: {}", loaded.report(false));
        if loaded.errors() > 0 {
            let expected = format!("there is no provider `{name}`");
            assert!(loaded.diagnostics.iter().any(|finding| finding.message == expected), "{name}: {}", loaded.report(false));
            continue;
        }
        let facts = Facts::new(&loaded, rest.names(), TEMPLATE).unwrap();
        let all_pages: String = pages(&facts).into_iter().map(|page| page.text).collect();
        assert!(!all_pages.contains(&format!("shared/providers/{name}/")), "{name}");
    }
    assert!(matches!(all.without(&["nobody"]), Err(LoadError::Unknown(_))));
}
