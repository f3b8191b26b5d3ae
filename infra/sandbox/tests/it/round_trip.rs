//! The hub's own protocol code against the stand-ins.

use canonical::Stamp;
use providers::api::{Api, FailureKind, Row, RowResult, Target};
use providers::http::{HttpRequest, HttpResponse};
use sandbox::{Fault, FaultKind, HubSpot, Request, Salesforce, Sandbox, hubspot, salesforce};
use serde_json::{Map, Value, json};

const T0: i64 = 1_767_225_600_000;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn row(hub_id: &str, remote_id: Option<&str>, properties: Value) -> Row {
    Row { hub_id: hub_id.into(), remote_id: remote_id.map(str::to_owned), properties: map(properties) }
}

fn send(sandbox: &mut dyn Sandbox, r: &HttpRequest, now_ms: i64) -> HttpResponse {
    let answer = sandbox.handle(&Request::new(r.method, &r.url, &r.headers, &r.body), now_ms);
    HttpResponse { status: answer.status, headers: answer.headers, body: answer.body }
}

fn kinds(results: &[RowResult]) -> Vec<String> {
    let kind = |r: &RowResult| match r {
        RowResult::Done { created, .. } => (if *created { "created" } else { "updated" }).to_owned(),
        RowResult::Failed(f) => format!("{:?} {}", f.kind, f.code),
    };
    results.iter().map(kind).collect()
}

fn id(result: &RowResult) -> String {
    match result {
        RowResult::Done { remote_id, .. } => remote_id.clone(),
        RowResult::Failed(failure) => panic!("{failure}"),
    }
}

fn target(object: &str) -> (Target, &'static dyn Api) {
    let hubspot = object.chars().all(char::is_lowercase);
    let (token, id_property, version) =
        if hubspot { ("sandbox-token", "hub_id", "v3") } else { ("sandbox-session", "Hub_Id__c", "v62.0") };
    let target = Target {
        base_url: "http://127.0.0.1:1".into(),
        token: token.into(),
        object: object.into(),
        id_property: id_property.into(),
        version: version.into(),
        timeout_ms: 1_000,
    };
    (target, providers::api_of(if hubspot { "hubspot" } else { "salesforce" }).expect("a destination"))
}

fn upsert(sandbox: &mut dyn Sandbox, object: &str, rows: &[Row], now_ms: i64) -> Vec<RowResult> {
    let (t, api) = target(object);
    let answer = send(sandbox, &api.upsert(&t, rows), now_ms);
    api.parse_written(&t, rows, &answer).expect("an answer for each row")
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn hubspot_upsert_creates_then_updates_then_leaves_alone() {
    for repeat_trace_id in [true, false] {
        let mut hubspot = HubSpot::new(hubspot::Options { repeat_trace_id, ..hubspot::Options::default() });
        let rows: Vec<Row> =
            (0..7).map(|i| row(&format!("g{i}"), None, json!({"email": format!(" P{i}@X.test "), "firstname": "Ann"}))).collect();
        let first = upsert(&mut hubspot, "contacts", &rows, T0);
        assert_eq!(kinds(&first), ["created"; 7]);
        let again = upsert(&mut hubspot, "contacts", &rows, T0 + 1_000);
        assert_eq!(kinds(&again), ["updated"; 7]);
        assert_eq!(first.iter().map(id).collect::<Vec<_>>(), again.iter().map(id).collect::<Vec<_>>());
        let RowResult::Done { properties: Some(p), stamp, .. } = &again[3] else { panic!("done") };
        assert_eq!(p["email"], "p3@x.test", "as the destination normalises it");
        assert_eq!(*stamp, Some(Stamp::at(T0)), "nothing changed since");
        assert_eq!(hubspot.stats()["rows.unchanged"], 7);
    }
}

#[test]
fn hubspot_refuses_single_rows_of_a_batch() {
    let mut hubspot = HubSpot::new(hubspot::Options::default());
    let taken = hubspot.seed("contacts", &map(json!({"email": "taken@x.test"})), T0).expect("seeded");
    let rows = [
        row("g0", None, json!({"email": "ok@x.test"})),
        row("g1", None, json!({"email": "Taken@x.test"})),
        row("g2", None, json!({"email": "no-address"})),
        row("g3", None, json!({"lifecyclestage": "unheard"})),
        row("g4", None, json!({"nosuch": "x"})),
        row("g5", None, json!({"firstname": "Fine"})),
    ];
    let written = upsert(&mut hubspot, "contacts", &rows, T0);
    let expected = [
        "created",
        "DuplicateKey CONFLICT",
        "Rejected INVALID_EMAIL",
        "Rejected INVALID_OPTION",
        "Rejected PROPERTY_DOESNT_EXIST",
        "created",
    ];
    assert_eq!(kinds(&written), expected);
    assert!(matches!(&written[1], RowResult::Failed(f) if f.objects == [taken.clone()]));

    let (t, api) = target("contacts");
    let adopt = [row("g1", Some(&taken), json!({"firstname": "Tom"})), row("g9", Some("4"), json!({"firstname": "Ted"}))];
    let answer = send(&mut hubspot, &api.update(&t, &adopt), T0);
    assert_eq!(kinds(&api.parse_written(&t, &adopt, &answer).expect("answer")), ["updated", "NotFound OBJECT_NOT_FOUND"]);
    let found = send(&mut hubspot, &api.find(&t, "hub_id", &names(&["g1", "g7"]), &names(&["firstname"]), None), T0);
    let found = api.parse_found(&t, &found).expect("found").records;
    assert_eq!((found.len(), found[0].id.as_str(), found[0].hub_id.as_deref()), (1, taken.as_str(), Some("g1")));
    let by_email = send(&mut hubspot, &api.find(&t, "email", &names(&["TAKEN@x.test"]), &[], None), T0);
    assert_eq!(api.parse_found(&t, &by_email).expect("found at once, without the search index").records[0].id, taken);
    let stale = [row("g0", Some(&taken), json!({}))];
    let answer = send(&mut hubspot, &api.update(&t, &stale), T0);
    assert_eq!(kinds(&api.parse_written(&t, &stale, &answer).expect("answer")), ["DuplicateKey CONFLICTING_UNIQUE_VALUE"]);
}

#[test]
fn hubspot_reads_with_the_stamp_of_each_property() {
    let mut hubspot = HubSpot::new(hubspot::Options::default());
    let id = id(&upsert(&mut hubspot, "contacts", &[row("g0", None, json!({"firstname": "A", "phone": "1"}))], T0)[0]);
    hubspot.edit("contacts", &id, &map(json!({"phone": "2"})), T0 + 5_000).expect("edited");
    let (t, api) = target("contacts");
    let answer = send(&mut hubspot, &api.read(&t, &names(&[&id, "77"]), &names(&["firstname", "phone"]), None), T0 + 6_000);
    let read = api.parse_found(&t, &answer).expect("read").records;
    assert_eq!(read.len(), 1);
    let changed_at = |property: &str| {
        let timestamp = read[0].raw["propertiesWithHistory"][property][0]["timestamp"].as_str().expect("a history");
        timestamp.parse::<jiff::Timestamp>().expect("an instant").as_millisecond()
    };
    assert_eq!((changed_at("firstname"), changed_at("phone")), (T0, T0 + 5_000));
    assert_eq!((read[0].stamp, &read[0].properties["phone"]), (Some(Stamp::at(T0 + 5_000)), &json!("2")));
}

#[test]
fn hubspot_lists_everything_past_the_cap_and_through_ties() {
    let options = hubspot::Options { searches_per_second: 1_000, ..hubspot::Options::default() };
    let mut hubspot = HubSpot::new(options);
    // 450 objects of one stamp between others: more than two pages.
    for i in 0..1_000_i64 {
        let at = if (300..750).contains(&i) { T0 + 300 } else { T0 + i };
        hubspot.seed("deals", &map(json!({"dealname": format!("D{i}")})), at).expect("seeded");
    }
    let (t, api) = target("deals");
    let (mut cursor, mut seen, mut calls) = (None, std::collections::BTreeSet::new(), 0);
    loop {
        let answer = send(&mut hubspot, &api.list(&t, T0 + 10, cursor.as_deref(), &[]), T0 + 100_000);
        let listing = api.parse_page(&t, T0 + 10, cursor.as_deref(), &answer).expect("a page");
        seen.extend(listing.records.iter().map(|r| r.id.clone()));
        calls += 1;
        assert!(calls < 20, "the list ends");
        cursor = listing.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 990);
}

#[test]
fn hubspot_searches_lag_behind_writes() {
    let mut hubspot = HubSpot::new(hubspot::Options { search_lag_ms: 2_000, ..hubspot::Options::default() });
    upsert(&mut hubspot, "companies", &[row("g0", None, json!({"domain": "Acme.test", "name": "Acme"}))], T0);
    let (t, api) = target("companies");
    let find = |hubspot: &mut HubSpot, values: &[&str], at: i64| {
        let answer = send(hubspot, &api.find(&t, "domain", &names(values), &names(&["name"]), None), at);
        api.parse_found(&t, &answer).expect("an answer").records.len()
    };
    assert_eq!(find(&mut hubspot, &["acme.test"], T0 + 1_000), 0);
    assert_eq!(find(&mut hubspot, &["acme.test"], T0 + 2_000), 1);
    assert_eq!(find(&mut hubspot, &["ACME.test", "other.test"], T0 + 3_000), 1);
}

#[test]
fn hubspot_limits_lock_and_tokens_stop_the_call() {
    let mut hubspot = HubSpot::new(hubspot::Options { per_ten_seconds: 3, ..hubspot::Options::default() });
    let (mut t, api) = target("contacts");
    let rows = [row("g0", None, json!({"firstname": "A"}))];
    let kind = |hubspot: &mut HubSpot, t: &Target, at: i64| {
        let answer = send(hubspot, &api.upsert(t, &rows), at);
        api.parse_written(t, &rows, &answer).map_err(|f| f.kind).map(|r| id(&r[0]))
    };
    let id = kind(&mut hubspot, &t, T0).expect("written");
    hubspot.lock("contacts", &id, T0 + 2_000);
    assert_eq!(kind(&mut hubspot, &t, T0 + 1), Err(FailureKind::Locked));
    assert!(kind(&mut hubspot, &t, T0 + 2_000).is_ok());
    assert_eq!(kind(&mut hubspot, &t, T0 + 3_000), Err(FailureKind::Throttled { after_ms: 10_000 }));
    let answer = send(&mut hubspot, &api.upsert(&t, &rows), T0 + 10_000);
    assert_eq!(api.parse_usage(&answer).map(|u| (u.remaining, u.max)), Some((0, 3)), "the window rolls");
    t.token = "other".into();
    assert_eq!(kind(&mut hubspot, &t, T0 + 60_000), Err(FailureKind::Auth));
    hubspot.allow_token("other", Some(T0 + 70_000));
    assert!(kind(&mut hubspot, &t, T0 + 60_001).is_ok());
    assert_eq!(kind(&mut hubspot, &t, T0 + 70_000), Err(FailureKind::Auth));
}

#[test]
fn salesforce_upserts_rows_with_references() {
    let mut salesforce = Salesforce::new(salesforce::Options::default());
    assert_eq!(kinds(&upsert(&mut salesforce, "Account", &[row("a1", None, json!({"Name": "Acme"}))], T0)), ["created"]);
    let rows = [
        row("g0", None, json!({"LastName": " Roe ", "Email": "jo@x.test", "Account": {"Hub_Id__c": "a1"}})),
        row("g1", None, json!({"LastName": "Doe", "Account": {"Hub_Id__c": "a9"}})),
        row("g2", None, json!({"FirstName": "Only"})),
        row("g3", None, json!({"LastName": "x".repeat(81)})),
        row("g4", None, json!({"LastName": "Poe", "Nosuch__c": 1})),
        row("g5", None, json!({"LastName": "Coe", "Email": "no-address"})),
        row("g6", None, json!({"LastName": "Moe", "HasOptedOutOfEmail": true})),
    ];
    let expected = [
        "created",
        "Transient INVALID_FIELD",
        "Rejected REQUIRED_FIELD_MISSING",
        "Rejected STRING_TOO_LONG",
        "Rejected INVALID_FIELD",
        "Rejected INVALID_EMAIL_ADDRESS",
        "created",
    ];
    let written = upsert(&mut salesforce, "Contact", &rows, T0);
    assert_eq!(kinds(&written), expected);
    assert_eq!(id(&written[0]).len(), 18);
    let comparable = salesforce.comparable(&["Hub_Id__c"]);
    assert_eq!(comparable["Contact"][0]["properties"], json!({"AccountId": "Acme", "Email": "jo@x.test", "LastName": "Roe"}));

    let (t, api) = target("Contact");
    let answer =
        send(&mut salesforce, &api.find(&t, "Email", &names(&["JO@x.test", "o'no\\@x.test"]), &names(&["Name"]), None), T0);
    assert_eq!(api.parse_usage(&answer).map(|u| u.max), Some(100_000));
    let found = api.parse_found(&t, &answer).expect("found").records;
    assert_eq!((found.len(), &found[0].properties["Name"], found[0].stamp), (1, &json!("Roe"), Some(Stamp::at(T0))));
    let change =
        [row("g0", Some(&found[0].id), json!({"Email": null})), row("g8", Some("003ak0000000009AAA"), json!({"FirstName": "N"}))];
    let answer = send(&mut salesforce, &api.update(&t, &change), T0 + 1);
    assert_eq!(
        kinds(&api.parse_written(&t, &change, &answer).expect("answer")),
        ["updated", "NotFound INVALID_CROSS_REFERENCE_KEY"]
    );
    let answer = send(&mut salesforce, &api.read(&t, &[found[0].id.clone()], &names(&["Email", "AccountId"]), None), T0 + 2);
    let read = api.parse_found(&t, &answer).expect("read").records;
    assert_eq!((&read[0].properties["Email"], read[0].hub_id.as_deref()), (&Value::Null, Some("g0")));
}

#[test]
fn salesforce_lists_pages_and_deleted_records() {
    let mut salesforce = Salesforce::new(salesforce::Options { page: 10, ..salesforce::Options::default() });
    let mut ids = Vec::new();
    for i in 0..35 {
        ids.push(salesforce.seed("Account", &map(json!({"Name": format!("A{i}")})), T0 + i).expect("seeded"));
    }
    salesforce.delete("Account", &ids[7], T0 + 50).expect("deleted");
    let (t, api) = target("Account");
    let (mut cursor, mut stamps, mut archived) = (None, Vec::new(), Vec::new());
    loop {
        let answer = send(&mut salesforce, &api.list(&t, T0 + 5, cursor.as_deref(), &names(&["Name"])), T0 + 60);
        let listing = api.parse_page(&t, T0 + 5, cursor.as_deref(), &answer).expect("a page");
        stamps.extend(listing.records.iter().filter_map(|r| r.stamp));
        archived.extend(listing.records.iter().filter(|r| r.archived).map(|r| r.id.clone()));
        cursor = listing.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((stamps.len(), archived), (30, vec![ids[7].clone()]));
    assert!(stamps.is_sorted());
    let gone = send(&mut salesforce, &api.list(&t, T0, Some("/services/data/v62.0/query/01gnone-10"), &[]), T0);
    assert_eq!(api.parse_page(&t, T0, None, &gone).expect_err("no such cursor").kind, FailureKind::CursorExpired);
}

#[test]
fn salesforce_limits_locks_and_tokens() {
    let mut options = salesforce::Options { per_day: 3, ..salesforce::Options::default() };
    options.duplicate_rules.insert("Contact".into(), "Email".into());
    let mut salesforce = Salesforce::new(options);
    let (mut t, api) = target("Contact");
    let first = upsert(&mut salesforce, "Contact", &[row("g0", None, json!({"LastName": "A", "Email": "a@x.test"}))], T0);
    salesforce.lock("Contact", &id(&first[0]), T0 + 2_000);
    let rows = [
        row("g0", None, json!({"LastName": "B"})),
        row("g1", None, json!({"LastName": "C"})),
        row("g2", None, json!({"LastName": "D", "Email": "A@x.test"})),
    ];
    let expected = ["Locked UNABLE_TO_LOCK_ROW", "created", "Similar DUPLICATES_DETECTED"];
    assert_eq!(kinds(&upsert(&mut salesforce, "Contact", &rows, T0 + 1)), expected);
    let fail = |salesforce: &mut Salesforce, t: &Target, at: i64| {
        let answer = send(salesforce, &api.upsert(t, &rows), at);
        api.parse_written(t, &rows, &answer).map(|_| ()).map_err(|f| f.kind)
    };
    assert_eq!(fail(&mut salesforce, &t, T0 + 2), Ok(()));
    assert_eq!(fail(&mut salesforce, &t, T0 + 3), Err(FailureKind::Throttled { after_ms: 60_000 }));
    assert_eq!(fail(&mut salesforce, &t, T0 + 86_400_000), Ok(()), "the next day");
    t.token = "expired".into();
    assert_eq!(fail(&mut salesforce, &t, T0 + 86_400_000), Err(FailureKind::Auth));
}

#[test]
fn a_lost_answer_is_an_effect_all_the_same() {
    for (mut sandbox, object, properties) in [
        (Box::new(HubSpot::new(hubspot::Options::default())) as Box<dyn Sandbox>, "companies", json!({"name": "A"})),
        (Box::new(Salesforce::new(salesforce::Options::default())), "Account", json!({"Name": "A"})),
    ] {
        let (t, api) = target(object);
        let rows = [row("g0", None, properties)];
        let request = api.upsert(&t, &rows);
        let request = Request::new(request.method, &request.url, &request.headers, &request.body);
        sandbox.fault(Fault::always(FaultKind::LoseRequest).times(1));
        assert!(sandbox.handle(&request, T0).lost);
        assert_eq!(sandbox.stats().get("rows.created"), None);
        sandbox.fault(Fault::always(FaultKind::LoseAnswer).times(1));
        assert!(sandbox.handle(&request, T0).lost);
        assert_eq!(kinds(&upsert(sandbox.as_mut(), object, &rows, T0)), ["updated"], "it was there already");

        sandbox.fault(Fault::always(FaultKind::Status { status: 503, retry_after_s: None }).between(T0, T0 + 10));
        let answer = send(sandbox.as_mut(), &api.upsert(&t, &rows), T0 + 9);
        assert_eq!(api.parse_written(&t, &rows, &answer).expect_err("out of order").kind, FailureKind::Transient);
        assert_eq!(kinds(&upsert(sandbox.as_mut(), object, &rows, T0 + 10)), ["updated"]);

        sandbox.clear_faults();
        sandbox.fault(Fault::always(FaultKind::FailRows { one_in: 2 }));
        let many: Vec<Row> = (0..40).map(|i| row(&format!("m{i}"), None, rows[0].properties.clone().into())).collect();
        let results = upsert(sandbox.as_mut(), object, &many, T0 + 20);
        let failed = results.iter().filter(|r| matches!(r, RowResult::Failed(_))).count();
        assert!((5..35).contains(&failed), "{failed} of 40");
    }
}

#[test]
fn any_text_finds_itself_again() {
    let nasty = [
        "O'Neil & Söhne",
        r"back\slash\'",
        "50% + 1 = ?",
        "#hash/é漢字🙂",
        "two\nlines\ttab",
        "\"quoted\"",
        "a,b) OR (Name != 'x",
    ];
    let mut hubspot =
        HubSpot::new(hubspot::Options { search_lag_ms: 0, searches_per_second: 100, ..hubspot::Options::default() });
    let mut salesforce = Salesforce::new(salesforce::Options::default());
    for (i, name) in nasty.iter().enumerate() {
        hubspot.seed("companies", &map(json!({"name": name, "hub_id": format!("x'{i}")})), T0).expect("seeded");
        salesforce.seed("Account", &map(json!({"Name": name, "Hub_Id__c": format!("x'{i}")})), T0).expect("seeded");
    }
    for (i, name) in nasty.iter().enumerate() {
        for (sandbox, object, property) in
            [(&mut hubspot as &mut dyn Sandbox, "companies", "name"), (&mut salesforce as &mut dyn Sandbox, "Account", "Name")]
        {
            let (t, api) = target(object);
            for (property, value) in [(property, (*name).to_owned()), (t.id_property.as_str(), format!("x'{i}"))] {
                let answer = send(sandbox, &api.find(&t, property, &[value], &names(&[property]), None), T0);
                let found = api.parse_found(&t, &answer).expect("found").records;
                assert_eq!(
                    found.iter().map(|r| r.hub_id.clone()).collect::<Vec<_>>(),
                    [Some(format!("x'{i}"))],
                    "{object} {name}"
                );
            }
        }
    }
}
