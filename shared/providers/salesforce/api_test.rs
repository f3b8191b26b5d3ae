//! Salesforce's API: requests and parsed responses.

use super::*;

fn target(object: &str) -> Target {
    Target {
        base_url: "https://org.test".into(),
        token: "00D!tok".into(),
        object: object.into(),
        id_property: "Hub_Id__c".into(),
        version: "v62.0".into(),
        timeout_ms: 1_000,
    }
}

fn row(hub_id: &str, remote_id: Option<&str>, properties: Value) -> Row {
    let properties = properties.as_object().cloned().unwrap_or_default();
    Row { hub_id: hub_id.into(), remote_id: remote_id.map(str::to_owned), properties }
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
}

#[test]
fn upsert_uses_the_external_id_and_passes_references_through() {
    let contact = row("g1", None, json!({"LastName": "Roe", "Account": {"Hub_Id__c": "g9"}}));
    let r = API.upsert(&target("Contact"), &[contact]);
    assert_eq!(
        (r.method, r.url.as_str()),
        ("PATCH", "https://org.test/services/data/v62.0/composite/sobjects/Contact/Hub_Id__c")
    );
    assert!(r.headers.contains(&("sforce-call-options".into(), "client=crm-hub".into())));
    let expected = json!({"allOrNone": false, "records": [
        {"attributes": {"type": "Contact"}, "Hub_Id__c": "g1", "LastName": "Roe", "Account": {"Hub_Id__c": "g9"}}]});
    assert_eq!(serde_json::from_slice::<Value>(&r.body).expect("JSON"), expected);
}

#[test]
fn update_uses_the_id_and_writes_the_hubs_id() {
    let r = API.update(&target("Contact"), &[row("g1", Some("003A"), json!({})), row("g2", None, json!({}))]);
    assert!(r.url.ends_with("/composite/sobjects"));
    let body: Value = serde_json::from_slice(&r.body).expect("JSON");
    assert_eq!(body["records"], json!([{"attributes": {"type": "Contact"}, "Hub_Id__c": "g1", "Id": "003A"}]));
}

#[test]
fn results_follow_the_order_of_the_rows() {
    let error = |code: &str, message: &str, fields: Value| json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": fields}]});
    let body = json!([
        {"id": "003A", "success": true, "created": true, "errors": []},
        {"id": "003B", "success": true, "created": false, "errors": []},
        error("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", json!([])),
        error("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Trg: caused by: UNABLE_TO_LOCK_ROW, unable", json!([])),
        error("STRING_TOO_LONG", "Last Name: data value too large: Secretname (max length=80)", json!(["LastName"])),
        error("DUPLICATES_DETECTED", "Use one of these records?", json!([])),
        error("DUPLICATE_VALUE", "duplicate value found: Hub_Id__c", json!([])),
        error("DUPLICATE_EXTERNAL_ID", "more than one record found", json!([])),
        error("ENTITY_IS_DELETED", "entity is deleted", json!([])),
        error("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", json!([])),
        error("INVALID_CROSS_REFERENCE_KEY", "Owner ID", json!(["OwnerId"])),
        error("INVALID_FIELD", "Foreign key external ID: g9 not found for field Hub_Id__c in entity Account", json!([])),
    ]);
    let rows: Vec<Row> = (0..12).map(|i| row(&format!("g{i}"), None, json!({}))).collect();
    let written = API.parse_written(&target("Contact"), &rows, &answer(200, &body)).expect("answer");
    assert_eq!(written[0], RowResult::Done { remote_id: "003A".into(), created: true, properties: None, stamp: None });
    assert_eq!(written[1], RowResult::Done { remote_id: "003B".into(), created: false, properties: None, stamp: None });
    let failures: Vec<&RowFailure> =
        written.iter().filter_map(|w| if let RowResult::Failed(f) = w { Some(f) } else { None }).collect();
    let kinds: Vec<FailureKind> = failures.iter().map(|f| f.kind).collect();
    use FailureKind::{Ambiguous, DuplicateKey, Locked, NotFound, Rejected, Similar, Transient};
    assert_eq!(kinds, [Locked, Locked, Rejected, Similar, DuplicateKey, Ambiguous, NotFound, NotFound, Rejected, Transient]);
    assert_eq!((failures[2].scope, failures[2].faults[0].property.as_str()), (Scope::Value, "LastName"));
    assert!(!format!("{:?}", failures[2]).contains("Secretname"), "messages quote values");
    assert_eq!(failures[3].code, "DUPLICATES_DETECTED");
    let short = API.parse_written(&target("Contact"), &rows[..2], &answer(200, &body)).expect_err("a count that does not fit");
    assert_eq!(short.kind, FailureKind::Transient);
}

#[test]
fn codes_and_statuses_classify_the_whole_call() {
    let kind = |status: u16, code: &str| {
        let r = answer(status, &json!([{"errorCode": code, "message": "m"}]));
        let f = API.parse_found(&target("Contact"), &r).expect_err("a failure");
        (f.kind, f.code)
    };
    assert_eq!(kind(401, "INVALID_SESSION_ID").0, FailureKind::Auth);
    assert_eq!(kind(403, "REQUEST_LIMIT_EXCEEDED").0, FailureKind::Throttled { after_ms: 60_000 });
    assert_eq!(kind(403, "INSUFFICIENT_ACCESS").0, FailureKind::Denied);
    assert_eq!(kind(400, "QUERY_TIMEOUT").0, FailureKind::Transient);
    assert_eq!(kind(400, "STORAGE_LIMIT_EXCEEDED").0, FailureKind::LimitReached);
    assert_eq!(kind(503, "SERVER_UNAVAILABLE").0, FailureKind::Transient);
    assert_eq!(kind(400, "MALFORMED_QUERY").0, FailureKind::Rejected);
    assert_eq!(kind(404, "NOT_FOUND").0, FailureKind::Rejected);
    assert_eq!(kind(400, "INVALID_QUERY_LOCATOR"), (FailureKind::CursorExpired, "INVALID_QUERY_LOCATOR".to_owned()));
    let several =
        answer(300, &json!(["/services/data/v62.0/sobjects/Contact/003A", "/services/data/v62.0/sobjects/Contact/003B"]));
    assert_eq!(API.parse_written(&target("Contact"), &[], &several).expect_err("failure").kind, FailureKind::Ambiguous);
    assert_eq!(API.parse_found(&target("Contact"), &answer(502, &Value::Null)).expect_err("failure").kind, FailureKind::Transient);
    assert_eq!(API.parse_found(&target("Contact"), &answer(418, &Value::Null)).expect_err("failure").kind, FailureKind::Rejected);
}

#[test]
fn values_cannot_leave_their_literal() {
    assert_eq!(literal("o'neil\\ \n"), r"'o\'neil\\ \n'");
    let r = API.find(&target("Contact"), "Email", &["o'n&=@x.test".into()], &["Id".into(), "Email".into()], None);
    let expected = "https://org.test/services/data/v62.0/query?q=SELECT%20Id%2C%20IsDeleted%2C%20SystemModstamp%2C%20Hub_Id__c%2C%20Email%20FROM%20Contact%20\
                    WHERE%20Email%20IN%20%28%27o%5C%27n%26%3D%40x.test%27%29%20ORDER%20BY%20Id";
    assert_eq!(r.url, expected);
}

#[test]
fn the_values_of_a_query_fit_into_a_url() {
    let properties: Vec<String> = (0..60).map(|n| format!("CustomField{n:02}__c")).collect();
    for value in ["a", "ada@example.com", &"o'hara+\\".repeat(20), &"äöü".repeat(20)] {
        let values: Vec<String> = (0..450).map(|n| format!("{value}{n}")).collect();
        let parts = Salesforce.find_parts("Email", &values);
        assert_eq!(parts.concat(), values);
        for part in parts {
            assert!(part.len() <= 200);
            assert!(Salesforce.find(&target("Contact"), "Email", part, &properties, None).url.len() < 16_384);
        }
    }
    assert_eq!(Salesforce.find_parts("Email", &vec!["0".repeat(32); 400]).len(), 2, "ids go 200 at a time");
}

#[test]
fn a_list_follows_the_locator_on_its_own_host_only() {
    let t = target("Contact");
    let first = API.list(&t, 1_767_225_600_123, None, &[]);
    assert!(
        first.url.contains("/queryAll?q=") && first.url.contains("SystemModstamp%20%3E%3D%202026-01-01T00%3A00%3A00.123Z%20ORDER"),
        "{}",
        first.url
    );
    let body = json!({"totalSize": 3, "done": false, "nextRecordsUrl": "/services/data/v62.0/query/01g-2000", "records": [
        {"attributes": {"type": "Contact"}, "Id": "003A", "IsDeleted": true, "SystemModstamp": "2026-01-01T00:00:00.123+0000", "Hub_Id__c": "g1"}]});
    let listing = API.parse_page(&t, 0, None, &answer(200, &body)).expect("a page");
    assert_eq!(listing.records[0].stamp, Some(Stamp::at(1_767_225_600_123)));
    assert!(listing.records[0].archived);
    assert_eq!(listing.records[0].hub_id.as_deref(), Some("g1"));
    assert!(!listing.records[0].properties.contains_key("attributes"));
    assert_eq!(API.list(&t, 0, listing.next.as_deref(), &[]).url, "https://org.test/services/data/v62.0/query/01g-2000");
    assert!(API.list(&t, 0, Some("@evil.test/x"), &[]).url.starts_with("https://org.test/services/data/v62.0/queryAll?"));
}

#[test]
fn the_limit_header_shows_the_remaining_calls() {
    let mut r = answer(200, &Value::Null);
    assert_eq!(API.parse_usage(&r), None);
    r.headers = vec![("sforce-limit-info".into(), "api-usage=25/5000; per-app-api-usage=17/250(appName=some-app)".into())];
    assert_eq!(API.parse_usage(&r), Some(Usage { remaining: 4_975, max: 5_000, window_ms: 86_400_000 }));
}

#[test]
fn a_look_up_has_pages_too() {
    let t = target("Account");
    let body = json!({"done": false, "nextRecordsUrl": "/services/data/v62.0/query/01g-200", "records": [{"Id": "001A"}]});
    let page = API.parse_found(&t, &answer(200, &body)).expect("a page");
    assert_eq!((page.records.len(), page.next.as_deref()), (1, Some("/services/data/v62.0/query/01g-200")));
    let more = API.find(&t, "Website", &["x.test".into()], &[], page.next.as_deref());
    assert_eq!(more.url, "https://org.test/services/data/v62.0/query/01g-200");
}

#[test]
fn a_duplicate_rule_names_itself_and_the_records() {
    let record = json!({"matchConfidence": 100.0, "record": {"attributes": {"type": "Contact"}, "Id": "003000000000001AAA"}});
    let found = json!({"allowSave": true, "duplicateRule": "Standard_Contact_Duplicate_Rule", "matchResults": [{"matchRecords": [record]}]});
    let error = json!({"statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": [], "duplicateResult": found});
    let body = json!([{"success": false, "errors": [error]}]);
    let written = API.parse_written(&target("Contact"), &[row("g1", None, json!({}))], &answer(200, &body)).expect("answer");
    let RowResult::Failed(failure) = &written[0] else { panic!("refused") };
    let text = "DUPLICATES_DETECTED: the rule Standard_Contact_Duplicate_Rule; it names object 003000000000001AAA";
    assert_eq!((failure.kind, failure.to_string().as_str()), (FailureKind::Similar, text));
}

#[test]
fn an_org_without_the_field_of_the_hubs_id_takes_no_row() {
    let t = target("Contact");
    let body = json!([{"errorCode": "INVALID_FIELD", "message": "No such column 'Hub_Id__c' on entity 'Contact'"}]);
    let failure = API.parse_found(&t, &answer(400, &body)).expect_err("a failure");
    assert_eq!((failure.kind, failure.scope), (FailureKind::Denied, Scope::ObjectType));
    let body = json!([{"errorCode": "INVALID_FIELD", "message": "No such column 'Extra__c' on entity 'Contact'"}]);
    let failure = API.parse_found(&t, &answer(400, &body)).expect_err("a failure");
    assert!(failure.scope == Scope::Property && failure.faults[0].in_every_row && failure.faults[0].property == "Extra__c");
}
