//! Laws that hold for every input.

use canonical::{Money, Value, fields_of, find_field};
use mapping::normal;
use mapping::{Context, TimeUnit};
use proptest::prelude::*;

use crate::map::MAP;

fn idempotent(text: &str, normalise: impl Fn(&str) -> Option<String>) {
    if let Some(once) = normalise(text) {
        assert_eq!(normalise(&once).as_ref(), Some(&once));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|f| serde_json::Number::from_f64(f).map_or(serde_json::Value::Null, Into::into)),
        "\\PC{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("properties|id|email|phone|annualrevenue|createdate|tags|[a-z]{1,4}", inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A value of two-way fields as it would be in a golden record.
fn two_way() -> impl Strategy<Value = (String, Value)> {
    let amount = (any::<i64>(), prop::sample::select(vec!["USD", "JPY", "KWD", "EUR"]));
    prop_oneof![
        "[a-z]{1,8}@[a-z]{1,8}\\.example".prop_map(|t| ("email".into(), Value::Text(t))),
        "[A-ZÄ][a-zß]{1,7}".prop_map(|t| ("first_name".into(), Value::Text(t))),
        "\\+1650555[0-9]{4}".prop_map(|t| ("phone".into(), Value::Text(t))),
        prop::sample::select(vec!["DE", "US", "JP"]).prop_map(|t| ("address_country".into(), Value::text(t))),
        prop::sample::select(vec!["lead", "customer", "marketing_qualified"]).prop_map(|t| ("lifecycle".into(), Value::text(t))),
        amount.prop_map(|(minor, c)| ("revenue".into(), Value::Money(Money { minor, currency: c.into() }))),
        (1900..2100, 1..=12, 1..=28).prop_map(|(y, m, d)| ("birthday".into(), Value::Text(format!("{y}-{m:02}-{d:02}")))),
        any::<bool>().prop_map(|b| ("delinquent".into(), Value::Bool(b))),
        prop::collection::btree_set("[a-z]{1,5}", 1..4)
            .prop_map(|s| ("tags".into(), Value::List(s.into_iter().map(Value::Text).collect()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn normalisers_are_idempotent(text in "\\PC{0,40}", digits in "[+0-9() .x-]{0,20}", host in "[a-zA-Zäß.]{0,20}") {
        for text in [&text, &digits, &host] {
            idempotent(text, |t| normal::email(t).ok());
            idempotent(text, |t| normal::phone(t, Some("DE")).ok().map(|p| p.e164));
            idempotent(text, |t| normal::phone(t, Some("US")).ok().map(|p| p.e164));
            idempotent(text, |t| normal::domain(t).ok());
            idempotent(text, |t| normal::url(t).ok());
            idempotent(text, |t| Some(normal::name(t).into_owned()));
            idempotent(text, |t| Some(normal::industry(t)));
            idempotent(text, |t| normal::decimal(t).ok());
            idempotent(text, |t| normal::country(t).ok().map(str::to_owned));
            idempotent(text, |t| normal::currency(t).ok().map(str::to_owned));
            idempotent(text, |t| normal::date(t).ok());
        }
        idempotent(&format!("Pat@{host}.example"), |t| normal::email(t).ok());
    }

    #[test]
    fn instants_are_idempotent(ms in -62_000_000_000_000_i64..253_000_000_000_000) {
        let once = normal::instant(&ms.to_string(), TimeUnit::Ms, None).unwrap();
        prop_assert_eq!(normal::instant(&once, TimeUnit::Iso, None), Ok(once.clone()));
        prop_assert_eq!(normal::instant_ms(&once), Some(ms));
    }

    #[test]
    fn no_json_makes_it_panic(body in json()) {
        let changes = MAP.0.run(&MAP.1, body.to_string().as_bytes(), &Context::default());
        for change in changes.into_iter().flatten() {
            for (name, field) in &change.fields {
                let def = find_field(change.object, name).unwrap();
                prop_assert!(def.kind.accepts(&field.value).is_ok(), "{} got {}", name, field.value.class());
            }
            for problem in &change.problems {
                prop_assert!(fields_of(change.object).any(|f| f.name == problem.field));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = MAP.1.json(&body);
    }

    #[test]
    fn what_is_rendered_reads_back(values in prop::collection::vec(two_way(), 1..6)) {
        let fields = values.into_iter().map(|(name, value)| (name.as_str().into(), value)).collect();
        let output = MAP.0.render(&fields);
        prop_assert_eq!(&output.problems, &vec![]);
        prop_assert_eq!(MAP.0.canonical(&MAP.1, &output.properties), fields);
    }

    #[test]
    fn money_survives_whole_units(minor in any::<i64>(), code in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"])) {
        let money = Money { minor, currency: code.into() };
        prop_assert_eq!(normal::minor(&normal::major(&money), 0, normal::currency(code).unwrap(), None), Ok(money));
    }
}
