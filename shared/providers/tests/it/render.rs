//! Canonical values as native properties of the two CRMs, and back.

use canonical::{FieldName, Fields, Money, Value};
use providers::{Override, Overrides, Provider};
use serde_json::{Value as Json, json};

fn open(name: &str) -> Provider {
    Provider::builtin(name, &Overrides::default()).unwrap()
}

fn fields(list: &[(&str, Value)]) -> Fields {
    list.iter().map(|(name, value)| (FieldName::from(*name), value.clone())).collect()
}

fn money(minor: i64, currency: &str) -> Value {
    Value::Money(Money { minor, currency: currency.into() })
}

#[test]
fn a_deal_in_both_crms() {
    let deal = fields(&[
        ("name", Value::text("Invoice AB12-0001")),
        ("amount", money(11_900, "EUR")),
        ("close_date", Value::text("2026-01-31")),
        ("stage", Value::text("closed_won")),
        ("contact", Value::text("003ak000001AbCdAAK")),
        ("source", Value::text("billing")),
        ("owner", Value::text("55")),
    ]);
    let hubspot = open("hubspot").render("deals", &deal);
    assert_eq!(
        Json::Object(hubspot.properties),
        json!({"dealname": "Invoice AB12-0001", "amount": "119.00", "deal_currency_code": "EUR", "closedate": "2026-01-31T00:00:00Z",
            "dealstage": "closedwon", "associated_contact": "003ak000001AbCdAAK"})
    );
    let salesforce = open("salesforce").render("Opportunity", &deal);
    assert_eq!(
        Json::Object(salesforce.properties),
        json!({"Name": "Invoice AB12-0001", "Amount": 119.0, "CurrencyIsoCode": "EUR", "CloseDate": "2026-01-31", "StageName": "Closed Won",
            "ContactId": "003ak000001AbCdAAK", "LeadSource": "billing"})
    );
    assert!(salesforce.missing.is_empty());
}

#[test]
fn an_opportunity_without_a_day_is_incomplete() {
    let rendered = open("salesforce").render("Opportunity", &fields(&[("name", Value::text("x"))]));
    assert_eq!(rendered.missing, ["CloseDate"]);
    let rendered = open("salesforce").render("Opportunity", &fields(&[("created_at", Value::text("2026-01-31T23:59:59Z"))]));
    assert_eq!(
        (rendered.missing.len(), &rendered.properties["CloseDate"], &rendered.properties["Name"]),
        (0, &json!("2026-01-31"), &json!("Unnamed"))
    );
}

#[test]
fn a_person_without_a_family_name() {
    let salesforce = open("salesforce");
    let named = salesforce
        .render("Contact", &fields(&[("full_name", Value::text("Claire Petit")), ("email", Value::text("c@example.fr"))]));
    assert_eq!(named.properties["LastName"], "Claire Petit");
    let unnamed = salesforce.render("Contact", &fields(&[("email", Value::text("c@example.fr"))]));
    assert_eq!(unnamed.properties["LastName"], "[not provided]");
    assert!(!unnamed.by_field.contains_key("last_name"));
    let back = salesforce.canonical("Contact", &unnamed.properties);
    assert!(!back.contains_key("last_name"));
}

#[test]
fn lengths_follow_the_destinations_limits() {
    let long = "é".repeat(100);
    let rendered =
        open("salesforce").render("Contact", &fields(&[("first_name", Value::text(&*long)), ("last_name", Value::text("x"))]));
    assert_eq!(rendered.properties["FirstName"].as_str().map(|t| t.chars().count()), Some(40));
}

#[test]
fn an_opt_out_reaches_both_and_hubspot_is_never_loosened() {
    for (status, hubspot, salesforce) in [
        ("granted", None, Some(json!(false))),
        ("unknown", None, None),
        ("pending", None, None),
        ("withdrawn", Some(json!("true")), Some(json!(true))),
        ("suppressed", Some(json!("true")), Some(json!(true))),
    ] {
        let contact = fields(&[("email_consent", Value::text(status)), ("last_name", Value::text("x"))]);
        let at_hubspot = open("hubspot").render("contacts", &contact);
        assert_eq!((at_hubspot.properties.get("hs_email_optout").cloned(), at_hubspot.problems.len()), (hubspot, 0), "{status}");
        let at_salesforce = open("salesforce").render("Contact", &contact);
        assert_eq!(at_salesforce.properties.get("HasOptedOutOfEmail").cloned(), salesforce, "{status}");
    }
}

#[test]
fn a_ticket_needs_a_stage() {
    let rendered = open("hubspot").render("tickets", &fields(&[("subject", Value::text("Help"))]));
    assert_eq!(rendered.properties["hs_pipeline_stage"], "1");
    let solved = open("hubspot").render("tickets", &fields(&[("status", Value::text("solved"))]));
    assert_eq!(solved.properties["hs_pipeline_stage"], "4");
}

#[test]
fn rendered_values_are_read_back_equal() {
    let contact = fields(&[
        ("email", Value::text("lena@example.de")),
        ("first_name", Value::text("Lena")),
        ("last_name", Value::text("Vogt")),
        ("phone", Value::text("+49301234567")),
        ("address_country", Value::text("DE")),
        ("birthday", Value::text("1984-02-29")),
        ("job_title", Value::text("Head of IT")),
        ("email_consent", Value::text("withdrawn")),
    ]);
    let deal = fields(&[
        ("amount", money(150_000, "JPY")),
        ("close_date", Value::text("2026-01-31")),
        ("stage", Value::text("proposal")),
        ("name", Value::text("n")),
    ]);
    for (provider, object, values) in [
        ("hubspot", "contacts", &contact),
        ("salesforce", "Contact", &contact),
        ("hubspot", "deals", &deal),
        ("salesforce", "Opportunity", &deal),
    ] {
        let provider = open(provider);
        let rendered = provider.render(object, values);
        let back = provider.canonical(object, &rendered.properties);
        for (name, value) in values {
            assert_eq!(back.get(name), Some(value), "{object} {name}");
        }
    }
}

#[test]
fn everything_that_is_written_can_be_read() {
    for (provider, object, count) in
        [("hubspot", "contacts", 20), ("hubspot", "companies", 15), ("salesforce", "Contact", 15), ("salesforce", "Case", 8)]
    {
        let provider = open(provider);
        let names = provider.read_properties(object);
        let destination = provider.destination(object).unwrap();
        assert!(names.len() >= count && names.contains(&destination.id_property), "{object}: {names:?}");
        assert!(destination.natural_keys.iter().all(|k| names.contains(k)));
        assert!(provider.object_of(object).is_some());
    }
    assert_eq!(open("hubspot").object_of("nothing"), None);
}

#[test]
fn a_day_is_a_day_in_the_zone_of_the_account() {
    // A close date that somebody chose in the evening, as HubSpot keeps it.
    let evenings = [
        ("Australia/Sydney", "2026-01-31T10:30:00Z"),
        ("Asia/Kolkata", "2026-01-31T17:45:00Z"),
        ("America/Phoenix", "2026-02-01T04:30:00Z"),
        ("Pacific/Auckland", "2026-01-30T12:00:00Z"),
    ];
    for (zone, evening) in evenings {
        let hubspot = open("hubspot").in_time_zone(zone).unwrap();
        let day = |closedate: &Json| {
            let properties = json!({ "closedate": closedate });
            hubspot.canonical("deals", properties.as_object().unwrap())["close_date"].clone()
        };
        assert_eq!(day(&json!(evening)), Value::text("2026-01-31"), "{zone}");
        let written = hubspot.render("deals", &fields(&[("close_date", Value::text("2026-01-31"))]));
        assert_eq!(day(&written.properties["closedate"]), Value::text("2026-01-31"), "{zone}: {:?}", written.properties);
    }
}

#[test]
fn the_options_of_an_accounts_own_picklist_are_an_override() {
    let stage = |provider: &Provider, member: &str| provider.render("contacts", &fields(&[("lifecycle", Value::text(member))]));
    assert_eq!(stage(&open("hubspot"), "customer").properties["lifecyclestage"], "customer");
    let text = "[contact.fields.lifecycle]\nfrom = \"properties.lifecyclestage\"\nvalues = { lead = \"lead\", client = \"customer\" }\n\
                why = \"our account has stages of its own\"\n";
    let map = Override { map: "contacts".to_owned(), file: "contacts.map.toml".to_owned(), text: text.to_owned() };
    let own = Provider::builtin("hubspot", &Overrides { maps: vec![map], ..Overrides::default() }).unwrap();
    assert_eq!(stage(&own, "customer").properties["lifecyclestage"], "client");
    let unknown = stage(&own, "evangelist");
    assert!(!unknown.properties.contains_key("lifecyclestage"), "a stage that the account lacks is not written");
    assert_eq!(unknown.problems.len(), 1, "and is set aside alone");
    let whole = own.render("contacts", &fields(&[("lifecycle", Value::text("evangelist")), ("job_title", Value::text("CEO"))]));
    assert_eq!(whole.properties["jobtitle"], "CEO");
}
