//! Fields of one's own: declared in `hub.toml` and mapped in the user's files, without a compiler.

use std::process::Command;

use canonical::{FieldKind, FieldName, Fields, ObjectType, Value};
use hub::config::{Changes, DEFAULT, Loaded};
use hub::stack::Setup;
use sandbox::Kind;
use sync::config::Config;

const FIELDS: &str = r#"
[fields.contact]
lead_score = { kind = "int", label = "How promising the person is.", personal = false }
tier = { kind = "enum", members = ["gold", "silver"], label = "The tier.", personal = false }
"#;

const MAPPING: &str = r#"
[contact.fields]
lead_score = { from = "properties.lead_score", why = "marketing scores people in HubSpot" }
tier = { from = "properties.customer_tier", values = { A = "gold" }, why = "sales sorts people in HubSpot" }
"#;

/// The default configuration with own fields, which HubSpot's mapping fills when there is a mapping.
fn loaded(fields: &str, mapping: Option<&str>) -> Loaded {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = format!("{DEFAULT}\n{fields}");
    if let Some(mapping) = mapping {
        std::fs::write(folder.path().join("contacts.map.toml"), mapping).expect("written");
        let old = "[connections.hubspot]\n";
        text = text.replace(old, &format!("{old}mappings = {{ contacts = \"contacts.map.toml\" }}\n"));
    }
    Loaded::new("hub.toml", text, Some(folder.path()))
}

#[test]
fn a_function_reads_and_writes_them() {
    let loaded = loaded(FIELDS, Some(MAPPING));
    assert!(loaded.errors() == 0 && !loaded.report(false).contains("fills"), "{}", loaded.report(false));
    let config = Config::open(loaded.pack(&Changes::default()).expect("a pack")).expect("opened");
    let field = config.hub().fields.find(ObjectType::Contact, "tier").expect("the field is in the pack");
    assert_eq!((field.kind, field.personal, field.doc), (FieldKind::Enum(&["gold", "silver"]), false, "The tier."));

    let (_, provider) = config.connection("hubspot").expect("opened");
    let record = br#"{"id":"7","updatedAt":"2026-01-31T09:30:00Z","properties":{"lead_score":"42","customer_tier":"A"}}"#;
    let changes = provider.record("hubspot", "contacts", record).expect("a record");
    let values = changes[0].values();
    assert_eq!((&values["lead_score"], &values["tier"]), (&Value::Int(42), &Value::text("gold")));
    let fields = Fields::from([(FieldName::from("lead_score"), Value::Int(43)), (FieldName::from("tier"), Value::text("gold"))]);
    let rendered = provider.render("contacts", &fields);
    assert_eq!((&rendered.properties["lead_score"], &rendered.properties["customer_tier"]), (&"43".into(), &"A".into()));
    assert!(provider.read_properties("contacts").iter().any(|name| name == "lead_score"), "the hub reads it at HubSpot");
    let plain = Value::text("silver");
    let other = br#"{"id":"7","properties":{"customer_tier":"bronze"}}"#;
    let flagged = &provider.record("hubspot", "contacts", other).expect("a record")[0].fields["tier"];
    assert!(flagged.flagged && flagged.value != plain, "an unknown member is flagged");
}

#[test]
fn the_stand_in_of_the_account_has_their_properties() {
    let setup = Setup::new(&loaded(FIELDS, Some(MAPPING)));
    let contacts = &setup.hubspot.objects["contacts"].properties;
    assert_eq!(contacts["lead_score"].kind, Kind::Number);
    assert_eq!(contacts["customer_tier"].kind, Kind::Enum(vec!["A".to_owned(), "silver".to_owned()]));
    assert!(!setup.salesforce.objects["Contact"].properties.contains_key("lead_score"), "nothing maps it there");
}

#[test]
fn hub_map_shows_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let old = "[connections.hubspot]\n";
    let text = DEFAULT.replace(old, &format!("{old}mappings = {{ contacts = \"contacts.map.toml\" }}\n")) + FIELDS;
    write("contacts.map.toml", MAPPING);
    let config = write("hub.toml", &text);
    let record = write("record.json", r#"{"id":"7","updatedAt":"2026-01-31T09:30:00Z","properties":{"lead_score":"42"}}"#);
    let args = ["map", "--config", &config, "--provider", "hubspot", "--object", "contacts", &record];
    let done = Command::new(env!("CARGO_BIN_EXE_hub")).args(args).output().expect("the command runs");
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(printed.contains("\"lead_score\": 42"), "{printed}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn survivorship_identity_and_effects_know_them() {
    let policy = "[survivorship.contact]\n";
    let rule = "lead_score = { owner = \"hubspot\", why = \"it is scored there\" }\n";
    let text = DEFAULT.replace(policy, &format!("{policy}{rule}")) + FIELDS;
    let loaded = Loaded::new("hub.toml", text, None);
    assert_eq!(loaded.errors(), 0, "{}", loaded.report(false));
    let warned = loaded.report(false);
    assert!(warned.contains("nothing fills `lead_score` of a contact"), "{warned}");
}

#[test]
fn mistakes_in_them_are_reported() {
    for (field, message) in [
        ("email = { kind = \"text\", label = \"x\", personal = true }", "the hub has a field `email` of a contact already"),
        ("Score = { kind = \"int\", label = \"x\", personal = false }", "`Score` cannot be the name of a field"),
        ("tier = { kind = \"enum\", label = \"x\", personal = false }", "`members` lists the values"),
        ("score = { kind = \"int\", label = \"x\", personal = false, members = [\"a\"] }", "`members` lists the values"),
        ("boss = { kind = \"ref\", label = \"x\", personal = false }", "`refers_to` names the object"),
        ("score = { kind = \"number\", label = \"x\", personal = false }", "number"),
        ("score = { kind = \"int\", label = \"x\" }", "personal"),
    ] {
        let loaded = loaded(&format!("[fields.contact]\n{field}\n"), None);
        assert!(loaded.errors() > 0 && loaded.report(false).contains(message), "{field}: {}", loaded.report(false));
    }
}
