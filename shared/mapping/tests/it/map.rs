//! What maps make of bodies, and back.

use std::sync::LazyLock;

use canonical::{Catalogue, Change, ChangeKind, Fields, Money, Stamp, Value};
use mapping::compile::compile;
use mapping::file::Source;
use mapping::{Context, Map, Reader};
use serde_json::json;

pub static MAP: LazyLock<(Map, Reader)> = LazyLock::new(|| {
    let source = Source::new("contact.map.toml", include_str!("contact.map.toml"));
    let map = compile(&source, "contacts", &[], Catalogue::default()).unwrap();
    let reader = Reader::new(&map.paths);
    (map, reader)
});

fn run(body: &serde_json::Value) -> Change {
    let context = Context { connection: "crm", ..Context::default() };
    MAP.0.run(&MAP.1, body.to_string().as_bytes(), &context).unwrap().remove(0)
}

fn contact(properties: serde_json::Value) -> Change {
    run(&json!({"id": "501", "properties": properties, "updatedAt": "2026-01-02T03:04:05.678Z"}))
}

fn value<'c>(change: &'c Change, field: &str) -> Option<&'c Value> {
    change.fields.get(field).map(|f| &f.value)
}

#[test]
fn a_record_becomes_a_change() {
    let change =
        contact(json!({"email": "Jo@Example.com", "phone": "030 123456", "country": "Germany", "annualrevenue": "1250.5",
        "currency": "eur", "lifecyclestage": "marketingqualifiedlead", "company_id": 77, "tags": "b; a;b", "hub_id": "g1",
        "createdate": "1462216307945", "delinquent": "false"}));
    assert_eq!(change.source.to_string(), "crm/contacts/501");
    assert_eq!(change.kind, ChangeKind::Snapshot);
    assert_eq!(change.stamp, Some(Stamp::at(1_767_323_045_678)));
    assert_eq!(change.external_ids, [("hub".to_owned(), "g1".to_owned())]);
    for (field, expected) in [
        ("email", Value::text("jo@example.com")),
        ("phone", Value::text("+4930123456")),
        ("address_country", Value::text("DE")),
        ("revenue", Value::Money(Money { minor: 125_050, currency: "EUR".into() })),
        ("lifecycle", Value::text("marketing_qualified")),
        ("company", Value::text("companies:77")),
        ("tags", Value::List(vec![Value::text("a"), Value::text("b")])),
        ("created_at", Value::text("2016-05-02T19:11:47.945Z")),
        ("delinquent", Value::Bool(false)),
    ] {
        assert_eq!(value(&change, field), Some(&expected), "{field}");
    }
    assert_eq!(change.problems, []);
}

#[test]
fn absent_null_and_empty_stay_apart() {
    let change = contact(json!({"email": null, "company": ""}));
    assert_eq!(value(&change, "email"), Some(&Value::Null));
    assert_eq!(value(&change, "company_name"), Some(&Value::Null), "this source clears with an empty text");
    assert_eq!(value(&change, "phone"), None);
}

#[test]
fn a_broken_field_is_set_aside_alone_and_shows_no_value() {
    let change = contact(json!({"email": "not-an-address", "firstname": "Jo", "phone": "555 0100"}));
    assert_eq!(value(&change, "first_name"), Some(&Value::text("Jo")));
    let problems: Vec<String> = change.problems.iter().map(|p| format!("{} {} {}", p.field, p.path, p.reason)).collect();
    assert_eq!(
        problems,
        [
            "email properties.email not an e-mail address: no `@` (met a text; contact.map.toml:12:1)",
            "phone properties.phone a national number, and no country tells where (met a text; contact.map.toml:15:1)",
        ]
    );
}

#[test]
fn an_unknown_member_is_stored_as_it_came_and_flagged() {
    let change = contact(json!({"lifecyclestage": "12345"}));
    assert_eq!(value(&change, "lifecycle"), Some(&Value::text("12345")));
    assert!(change.fields["lifecycle"].flagged);
}

#[test]
fn fields_have_their_own_stamps_where_the_source_gives_them() {
    let change = run(
        &json!({"id": "1", "properties": {"email": "a@b.example", "firstname": "A"}, "updatedAt": "2026-01-02T00:00:00Z",
        "propertiesWithHistory": {"email": [{"value": "a@b.example", "timestamp": "2025-01-01T00:00:00Z"}, {"timestamp": "2020-01-01T00:00:00Z"}]}}),
    );
    assert_eq!(change.fields["email"].stamp, Some(Stamp::at(1_735_689_600_000)));
    assert_eq!(change.fields["first_name"].stamp, None);
}

#[test]
fn a_deleted_record_is_a_tombstone_and_a_record_needs_an_id() {
    let change = run(&json!({"id": "1", "archived": true, "properties": {"email": "a@b.example"}}));
    assert_eq!((change.kind, change.fields.len()), (ChangeKind::Delete { privacy: false }, 0));
    assert!(MAP.0.run(&MAP.1, b"{\"properties\":{}}", &Context::default()).is_err());
}

fn fields(list: &[(&str, Value)]) -> Fields {
    list.iter().map(|(name, value)| ((*name).into(), value.clone())).collect()
}

#[test]
fn rendering_truncates_by_characters_and_reverses_names() {
    let output = MAP.0.render(&fields(&[
        ("first_name", Value::text("Ωmega-Ωmega 👍 long")),
        ("lifecycle", Value::text("marketing_qualified")),
        ("revenue", Value::Money(Money { minor: 1250, currency: "KWD".into() })),
        ("email_consent", Value::text("granted")),
        ("owner", Value::text("7")),
    ]));
    assert_eq!(
        serde_json::Value::Object(output.properties),
        json!({"firstname": "Ωmega-Ωmega", "lifecyclestage": "marketingqualifiedlead", "annualrevenue": "1.250", "currency": "KWD", "lastname": "[none]"})
    );
    assert_eq!(output.by_field["revenue"], ["annualrevenue", "currency"]);
    assert_eq!((output.missing, output.problems), (vec![], vec![]));
    let back = contact(json!({"lastname": "[none]"}));
    assert_eq!(value(&back, "last_name"), None, "a placeholder is not a value");
}

#[test]
fn what_a_destination_cannot_hold_is_a_problem() {
    let output = MAP.0.render(&fields(&[
        ("lifecycle", Value::text("12345")),
        ("balance", Value::Money(Money { minor: 5, currency: "EUR".into() })),
    ]));
    assert_eq!(output.problems.len(), 2);
    assert!(!output.properties.contains_key("balance") && !output.properties.contains_key("lifecyclestage"));
}

#[test]
fn a_full_name_replaces_a_missing_required_family_name() {
    let output = MAP.0.render(&fields(&[("full_name", Value::text("Jenny Rosen"))]));
    assert_eq!(output.properties["lastname"], "Jenny Rosen");
    assert_eq!(output.by_field.keys().map(|k| &**k).collect::<Vec<_>>(), ["last_name"]);
}

#[test]
fn conditions_by_the_beginning_of_a_text() {
    let text = r#"
[call]
id = "id"
[call.fields]
from = { from = "from", unless = { from = ["sip:*", "client:*"], hidden = true } }
from_address = { from = "from", when = { from = ["sip:*", "client:*"] } }
"#;
    let source = Source::new("calls.map.toml", text);
    let map = compile(&source, "calls", &[], Catalogue::default()).unwrap();
    let reader = Reader::new(&map.paths);
    for (body, number, address) in [
        (json!({"id": 1, "from": "+16505550123"}), Some("+16505550123"), None),
        (json!({"id": 1, "from": "sip:+16505550123@a.example"}), None, Some("sip:+16505550123@a.example")),
        (json!({"id": 1, "from": "client:"}), None, Some("client:")),
        (json!({"id": 1, "from": "+16505550123", "hidden": true}), None, None),
    ] {
        let change = map.run(&reader, body.to_string().as_bytes(), &Context::default()).unwrap().remove(0);
        let text = |field| value(&change, field).and_then(Value::as_text);
        assert_eq!((text("from"), text("from_address")), (number, address), "{body}");
        assert!(change.problems.is_empty(), "{body}");
    }
}
