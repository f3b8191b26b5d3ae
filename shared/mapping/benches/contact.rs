//! One HubSpot-like contact of 1.8 kB with 27 mapped fields: the compiled plan against hand-written serde structs that do the
//! same normalising, in one run. `cargo bench -p mapping --features compile`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use canonical::{Catalogue, Change, ChangeKind, FieldName, FieldValue, Money, ObjectType, RemoteId, Stamp, Value};
use mapping::compile::compile;
use mapping::file::Source;
use mapping::{Context, Reader, TimeUnit, normal};
use serde::Deserialize;

const BODY: &str = include_str!("contact.json");
const MAP: &str = include_str!("../tests/it/contact.map.toml");

fn main() {
    let source = Source::new("contact.map.toml", MAP);
    let map = compile(&source, "contacts", &[], Catalogue::default()).unwrap_or_else(|e| panic!("{e}"));
    let reader = Reader::new(&map.paths);
    let context = Context { connection: "crm", ..Context::default() };
    let by_plan = || map.run(&reader, BODY.as_bytes(), &context).unwrap_or_else(|e| panic!("{e}")).remove(0);
    let (plan, hand) = (by_plan(), by_hand(BODY));
    assert_eq!(plan.values(), hand.values(), "both ways map the same");
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);

    let rounds = 15;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(time(|| serde_json::to_string(&by_plan()).map_or(0, |t| t.len())));
        theirs.push(time(|| serde_json::to_string(&by_hand(BODY)).map_or(0, |t| t.len())));
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!("{} bytes, {} fields, parse to serialise, median of {rounds} rounds", BODY.len(), plan.fields.len());
    println!("compiled plan  {ours:6.2} µs  {:7.0} records/s", 1e6 / ours);
    println!("hand-written   {theirs:6.2} µs  {:7.0} records/s", 1e6 / theirs);
    println!("ratio          {:6.2}", ours / theirs);
    let packed = serde_json::to_string(&map).unwrap_or_default();
    let opened = time(|| {
        serde_json::from_str::<mapping::Map>(&packed).map_or(0, |m| Reader::new(&m.paths).json(b"{}").map_or(0, |s| s.len()))
    });
    println!("open a packed plan of {} bytes: {opened:.1} µs", packed.len());
}

/// Microseconds per call.
fn time(work: impl Fn() -> usize) -> f64 {
    const CALLS: u32 = 4_000;
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(work());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[derive(Deserialize)]
struct Record<'a> {
    id: &'a str,
    #[serde(rename = "updatedAt")]
    updated_at: &'a str,
    #[serde(default)]
    archived: bool,
    #[serde(borrow)]
    properties: Properties<'a>,
}

type Text<'a> = Option<&'a str>;

#[derive(Deserialize)]
struct Properties<'a> {
    #[serde(borrow)]
    email: Text<'a>,
    #[serde(borrow)]
    firstname: Text<'a>,
    #[serde(borrow)]
    lastname: Text<'a>,
    #[serde(borrow)]
    phone: Text<'a>,
    #[serde(borrow)]
    mobilephone: Text<'a>,
    #[serde(borrow)]
    company: Text<'a>,
    #[serde(borrow)]
    company_id: Text<'a>,
    #[serde(borrow)]
    jobtitle: Text<'a>,
    #[serde(borrow)]
    website: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
    #[serde(borrow)]
    city: Text<'a>,
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(borrow)]
    zip: Text<'a>,
    #[serde(borrow)]
    country: Text<'a>,
    #[serde(borrow)]
    lifecyclestage: Text<'a>,
    #[serde(borrow)]
    annualrevenue: Text<'a>,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow)]
    balance: Text<'a>,
    #[serde(borrow)]
    date_of_birth: Text<'a>,
    #[serde(borrow)]
    language: Text<'a>,
    #[serde(borrow)]
    timezone: Text<'a>,
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    owner: Text<'a>,
    #[serde(borrow)]
    createdate: Text<'a>,
    #[serde(borrow)]
    delinquent: Text<'a>,
    #[serde(borrow)]
    tags: Text<'a>,
    #[serde(borrow)]
    notes: Text<'a>,
    #[serde(borrow)]
    optout: Text<'a>,
    #[serde(borrow)]
    hub_id: Text<'a>,
}

fn by_hand(body: &str) -> Change {
    let record: Record<'_> = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}"));
    let p = &record.properties;
    let mut fields: BTreeMap<FieldName, FieldValue> = BTreeMap::new();
    let values = [person(p), address(p), sales(p), money_and_time(p)].into_iter().flatten();
    for (name, value) in values {
        if let Some(value) = value {
            fields.insert(FieldName::from(name), FieldValue { value, stamp: None, flagged: false });
        }
    }
    let stamp = normal::instant(record.updated_at, TimeUnit::Iso, None).ok().and_then(|t| normal::instant_ms(&t)).map(Stamp::at);
    Change {
        object: ObjectType::Contact,
        source: RemoteId { connection: "crm".into(), object: "contacts".into(), id: record.id.into() },
        kind: if record.archived { ChangeKind::Delete { privacy: false } } else { ChangeKind::Snapshot },
        stamp,
        fields,
        external_ids: p.hub_id.iter().map(|id| ("hub".to_owned(), (*id).to_owned())).collect(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    }
}

type Named = Vec<(&'static str, Option<Value>)>;

fn tidy(text: Text<'_>) -> Option<Value> {
    text.map(|t| Value::text(t.trim()))
}

fn name(text: Text<'_>) -> Option<Value> {
    text.map(|t| Value::text(normal::name(t)))
}

fn person(p: &Properties<'_>) -> Named {
    let region = p.country.and_then(normal::country_in);
    let phone = |t: Text<'_>| t.and_then(|t| normal::phone(t, region).ok()).map(|p| Value::Text(p.e164));
    vec![
        ("email", p.email.and_then(|t| normal::email(t).ok()).map(Value::Text)),
        ("first_name", name(p.firstname)),
        ("last_name", name(p.lastname)),
        ("phone", phone(p.phone)),
        ("mobile", phone(p.mobilephone)),
        ("company_name", name(p.company)),
        ("company", p.company_id.map(|t| Value::Text(format!("companies:{t}")))),
        ("job_title", tidy(p.jobtitle)),
        ("website", p.website.and_then(|t| normal::url(t).ok()).map(Value::Text)),
        ("language", tidy(p.language)),
        ("timezone", tidy(p.timezone)),
    ]
}

fn address(p: &Properties<'_>) -> Named {
    vec![
        ("address_line", tidy(p.address)),
        ("address_city", tidy(p.city)),
        ("address_region", tidy(p.state)),
        ("address_postcode", tidy(p.zip)),
        ("address_country", p.country.and_then(|t| normal::country(t).ok()).map(Value::text)),
    ]
}

fn sales(p: &Properties<'_>) -> Named {
    let lifecycle = |t| Value::text(if t == "marketingqualifiedlead" { "marketing_qualified" } else { t });
    let tags = p.tags.map(|t| {
        let mut tags: Vec<Value> = t.split(';').map(|t| Value::text(normal::name(t))).collect();
        tags.sort();
        tags.dedup();
        Value::List(tags)
    });
    vec![
        ("lifecycle", p.lifecyclestage.map(lifecycle)),
        ("lead_source", tidy(p.source)),
        ("owner", p.owner.map(Value::text)),
        ("tags", tags),
        ("notes", tidy(p.notes)),
        ("email_consent", p.optout.map(|t| Value::text(if t == "true" { "withdrawn" } else { "unknown" }))),
    ]
}

fn money_and_time(p: &Properties<'_>) -> Named {
    let money = |amount: Text<'_>, code: &str| -> Option<Value> {
        let money: Money = normal::minor(amount?, 0, normal::currency(code).ok()?, None).ok()?;
        Some(Value::Money(money))
    };
    vec![
        ("revenue", money(p.annualrevenue, p.currency.unwrap_or("USD"))),
        ("balance", money(p.balance, "JPY")),
        ("birthday", p.date_of_birth.and_then(|t| normal::date(t).ok()).map(Value::Text)),
        ("created_at", p.createdate.and_then(|t| normal::instant(t, TimeUnit::IsoOrMs, None).ok()).map(Value::Text)),
        ("delinquent", p.delinquent.map(|t| Value::Bool(t == "true"))),
    ]
}
