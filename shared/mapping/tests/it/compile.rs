//! What a mapping file that is wrong gives.

use canonical::Catalogue;
use mapping::compile::compile;
use mapping::file::Source;

fn mistakes(text: &str) -> Vec<String> {
    let source = Source::new("x.map.toml", text);
    compile(&source, "things", &[], Catalogue::default())
        .err()
        .map(|d| d.0.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

#[test]
fn mistakes_have_a_position() {
    for (text, message) in [
        (
            "[contact]\nid = \"id\"\n[contact.fields]\nemial = { from = \"a\" }",
            "x.map.toml:4:1: a contact has no field `emial` (did you mean `email`?)",
        ),
        (
            "[contact]\nid = \"id\"\n[contact.fields]\nemail = { form = \"a\" }",
            "x.map.toml:4:11: a rule has no key `form` (did you mean `from`?)",
        ),
        (
            "[contact]\nid = \"id\"\n[contact.fields]\nemail = { from = \"a\", as = \"phone\" }",
            "x.map.toml:4:28: `email` of a contact holds email, not phone (`as` may be email)",
        ),
        ("[contcat]\nid = \"id\"", "x.map.toml:1:2: `contcat` is not a canonical object (did you mean `contact`?)"),
        (
            "[contact]\n[contact.fields]\nnotes = { from = \"a\" }",
            "x.map.toml:1:1: this table of a mapping file has no `id` (Where the object's id is.)",
        ),
        (
            "[deal]\nid = \"id\"\n[deal.fields]\namount = { from = \"a\" }",
            "x.map.toml:4:10: an amount needs a currency (add `currency` (a path) or `currency_default`)",
        ),
        (
            "[deal]\nid = \"id\"\n[deal.fields]\nstage = { from = \"a\", values = { won = \"closed-won\" } }",
            "x.map.toml:4:40: `closed-won` is not a member of `stage` (did you mean `closed_won`?)",
        ),
        (
            "[contact]\nid = \"a..b\"\n[contact.fields]\nnotes = { from = \"a\" }",
            "x.map.toml:2:6: a path needs a name before, between and after its dots",
        ),
        (
            "[contact]\nid = \"id\"\n[contact.fields]\nnotes = { from = \"a.b\" }",
            "x.map.toml:4:9: nothing says which native property is written (add `to`, or direction = \"in\")",
        ),
    ] {
        assert!(mistakes(text).iter().any(|t| t == message), "{message}\n{:#?}", mistakes(text));
    }
    assert!(mistakes("[contact\n")[0].starts_with("x.map.toml:1:"));
}

#[test]
fn an_override_replaces_a_field_and_gives_its_reason() {
    let base = "[contact]\nid = \"id\"\n[contact.fields]\nphone = { from = \"phone\", region = \"country\" }\nnotes = { from = \"notes\" }";
    let base = Source::new("base.map.toml", base);
    let silent = Source::new("mine.toml", "[contact.fields]\nphone = { from = \"tel\", region_default = \"DE\" }");
    let error = compile(&base, "people", std::slice::from_ref(&silent), Catalogue::default()).unwrap_err();
    assert_eq!(error.0[0].message, "an override says `why`");
    let text = silent.text.replace(" }", ", why = \"the field was renamed\" }");
    let map = compile(&base, "people", &[Source::new("mine.toml", text)], Catalogue::default()).unwrap();
    let rules = &map.plans[0].rules;
    assert_eq!(rules.len(), 2);
    let phone = rules.iter().find(|r| &*r.field == "phone").unwrap();
    assert_eq!((map.position(phone), map.inputs_of(phone)), ("mine.toml:2:1".to_owned(), "tel".to_owned()));
}

#[test]
fn a_plan_survives_packing() {
    let text = include_str!("contact.map.toml");
    let source = Source::new("contact.map.toml", text);
    let map = compile(&source, "contacts", &[], Catalogue::default()).unwrap();
    let packed = serde_json::to_string(&map).unwrap();
    assert_eq!(serde_json::from_str::<mapping::Map>(&packed).unwrap(), map);
}
