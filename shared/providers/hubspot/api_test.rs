//! HubSpot's API: requests and parsed responses.

use super::*;
use crate::api::Scope;

fn target(object: &str) -> Target {
    Target {
        base_url: "https://api.test".into(),
        token: "tok-secret".into(),
        object: object.into(),
        id_property: "hub_id".into(),
        version: "v3".into(),
        timeout_ms: 1_000,
    }
}

fn rows(n: usize) -> Vec<Row> {
    let row = |i: usize| Row {
        hub_id: format!("g{i}"),
        remote_id: Some(format!("{}", 500 + i)),
        properties: json!({"firstname": format!("N{i}")}).as_object().cloned().unwrap_or_default(),
    };
    (0..n).map(row).collect()
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
}

fn body(r: &HttpRequest) -> Value {
    serde_json::from_slice(&r.body).unwrap_or_default()
}

fn kinds(results: &[RowResult]) -> Vec<String> {
    let kind = |r: &RowResult| match r {
        RowResult::Done { remote_id, created, .. } => format!("done {remote_id} {created}"),
        RowResult::Failed(f) => format!("{:?} {}", f.kind, f.code),
    };
    results.iter().map(kind).collect()
}

#[test]
fn upsert_names_each_row_by_the_hubs_id() {
    let r = API.upsert(&target("contacts"), &rows(2));
    assert_eq!((r.method, r.url.as_str()), ("POST", "https://api.test/crm/v3/objects/contacts/batch/upsert"));
    assert!(r.headers.contains(&("authorization".to_owned(), "Bearer tok-secret".to_owned())));
    assert_eq!(
        body(&r)["inputs"][1],
        json!({"id": "g1", "idProperty": "hub_id", "objectWriteTraceId": "1", "properties": {"firstname": "N1", "hub_id": "g1"}})
    );
    assert!(!format!("{:?} {r:?}", target("contacts")).contains("secret"));
}

#[test]
fn a_multi_status_answer_gives_each_row_its_own_result() {
    let results = json!({"status": "COMPLETE", "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:00:01Z", "numErrors": 2,
        "results": [
            {"id": "900", "new": true, "properties": {"hub_id": "g3"}, "createdAt": "2026-01-01T00:00:00.123Z",
             "updatedAt": "2026-01-01T00:00:00.123Z", "archived": false},
            {"id": "901", "new": false, "objectWriteTraceId": "0", "properties": {}, "createdAt": "2026-01-01T00:00:00Z",
             "updatedAt": "2026-01-01T00:00:00Z", "archived": false}],
        "errors": [
            {"status": "error", "category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": ["1"]},
             "message": "Property values were not valid: [{\"isValid\":false,\"message\":\"x@ is not valid\",\"error\":\"INVALID_EMAIL\",\"name\":\"email\"}]"},
            {"status": "error", "category": "CONFLICT", "context": {"objectWriteTraceId": ["4"]},
             "message": "Contact already exists. Existing ID: 771"}]});
    let written = API.parse_written(&target("contacts"), &rows(5), &answer(207, &results)).expect("a read answer");
    let expected = ["done 901 false", "Rejected INVALID_EMAIL", "Transient NOT_MENTIONED", "done 900 true", "DuplicateKey CONFLICT"];
    assert_eq!(kinds(&written), expected);
    let RowResult::Failed(invalid) = &written[1] else { panic!("row 1 failed") };
    assert_eq!((invalid.scope, invalid.faults[0].property.as_str()), (Scope::Value, "email"));
    assert!(!format!("{invalid:?}").contains("x@"), "messages quote values");
    assert!(matches!(&written[4], RowResult::Failed(f) if f.objects == ["771"]));
    assert!(matches!(&written[3], RowResult::Done { stamp: Some(s), .. } if s.at_ms == 1_767_225_600_123));
}

#[test]
fn an_error_without_a_row_is_not_blamed_on_a_neighbour() {
    let error = json!({"status": "error", "category": "VALIDATION_ERROR", "message": "no", "context": {}});
    let one = answer(207, &json!({"status": "COMPLETE", "results": [], "errors": [error]}));
    let t = target("contacts");
    assert_eq!(kinds(&API.parse_written(&t, &rows(1), &one).expect("answer")), ["Rejected VALIDATION_ERROR"]);
    assert_eq!(kinds(&API.parse_written(&t, &rows(2), &one).expect("answer")), ["Transient NOT_MENTIONED", "Transient NOT_MENTIONED"]);
}

#[test]
fn a_missing_object_is_named_by_its_id() {
    let error = json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["501"]}});
    let ok = json!({"id": "500", "properties": {}, "updatedAt": "2026-01-01T00:00:00Z"});
    let mixed = answer(207, &json!({"status": "COMPLETE", "results": [ok], "errors": [error]}));
    let t = target("deals");
    assert_eq!(kinds(&API.parse_written(&t, &rows(2), &mixed).expect("answer")), ["done 500 false", "NotFound OBJECT_NOT_FOUND"]);
    assert_eq!(API.parse_found(&t, &mixed).expect("a missing object is not a failure").records.len(), 1);
}

#[test]
fn statuses_classify_the_whole_call() {
    let t = target("contacts");
    let error = |status, extra: Value| {
        let mut b = json!({"status": "error", "message": "m", "category": "SOME", "correlationId": "c"});
        b.as_object_mut().expect("object").extend(extra.as_object().cloned().unwrap_or_default());
        answer(status, &b)
    };
    let kind = |r: &HttpResponse| API.parse_written(&t, &rows(1), r).expect_err("a failure").kind;
    assert_eq!(kind(&error(401, json!({}))), FailureKind::Auth);
    assert_eq!(kind(&error(403, json!({}))), FailureKind::Rejected, "only what HubSpot documents as such is about the token");
    assert_eq!(kind(&error(423, json!({}))), FailureKind::Locked);
    assert_eq!(kind(&error(404, json!({"category": "OBJECT_NOT_FOUND"}))), FailureKind::Rejected);
    for status in [500, 502, 503, 504, 521, 523, 524] {
        assert_eq!(kind(&answer(status, &Value::Null)), FailureKind::Transient);
    }
    for status in [400, 409, 414, 422] {
        assert_eq!(kind(&error(status, json!({}))), FailureKind::Rejected);
    }
    assert_eq!(kind(&error(429, json!({"policyName": "SECONDLY"}))), FailureKind::Throttled { after_ms: 1_000 });
    assert_eq!(kind(&error(429, json!({"policyName": "DAILY"}))), FailureKind::Throttled { after_ms: 900_000 });
    let mut limited = error(429, json!({"policyName": "TEN_SECONDLY_ROLLING"}));
    limited.headers = vec![("x-hubspot-ratelimit-interval-milliseconds".into(), "7000".into())];
    assert_eq!(kind(&limited), FailureKind::Throttled { after_ms: 7_000 });
    let mut moving = error(477, json!({}));
    moving.headers = vec![("retry-after".into(), "30".into())];
    assert_eq!(kind(&moving), FailureKind::Throttled { after_ms: 30_000 });
    assert_eq!(API.parse_written(&t, &rows(1), &answer(502, &Value::Null)).expect_err("failure").code, "HTTP_502");
}

#[test]
fn unique_properties_are_read_and_others_are_searched() {
    let t = target("contacts");
    let by_email = API.find(&t, "email", &["a@x.test".into()], &["phone".into()], None);
    assert!(by_email.url.ends_with("/contacts/batch/read"));
    assert_eq!(body(&by_email)["idProperty"], "email");
    assert_eq!(body(&by_email)["properties"], json!(["hub_id", "lastmodifieddate", "phone"]));
    let by_domain = API.find(&target("companies"), "domain", &["A.test".into(), "b.test".into()], &[], Some("200"));
    assert!(by_domain.url.ends_with("/companies/search"));
    let filter = json!({"propertyName": "domain", "operator": "IN", "values": ["a.test", "b.test"]});
    assert_eq!(body(&by_domain)["filterGroups"][0]["filters"][0], filter);
    let in_list = json!({"propertyName": "hs_additional_domains", "operator": "CONTAINS_TOKEN", "value": "b.test"});
    assert_eq!(body(&by_domain)["filterGroups"][2]["filters"][0], in_list, "a company has further domains");
    assert_eq!(body(&by_domain)["after"], "200");
    assert_eq!(API.find_parts("domain", &vec!["d.test".to_owned(); 9]).len(), 3, "a search takes five groups of filters");
    let read = body(&API.read(&t, &["1".into()], &["phone".into()], None));
    assert_eq!(read["propertiesWithHistory"], json!(["phone"]));
    assert_eq!(read.get("idProperty"), None);
}

#[test]
fn a_read_record_has_its_stamp_and_its_histories() {
    let result = json!({"id": "7", "archived": false, "updatedAt": "2026-01-02T00:00:00Z",
        "properties": {"hub_id": "g7", "lastmodifieddate": "2026-01-03T00:00:00Z", "phone": null},
        "propertiesWithHistory": {"phone": [
            {"value": "", "timestamp": "2026-01-03T00:00:00.500Z", "sourceType": "CRM_UI"},
            {"value": "+1", "timestamp": "2026-01-01T00:00:00Z", "sourceType": "INTEGRATION"}]}});
    let found = API.parse_found(&target("contacts"), &answer(200, &json!({"results": [&result]}))).expect("answer").records;
    assert_eq!(found[0].raw["propertiesWithHistory"], result["propertiesWithHistory"]);
    assert_eq!(found[0].stamp, Some(Stamp::at(1_767_398_400_000)));
    assert_eq!(found[0].hub_id.as_deref(), Some("g7"));
}

fn page_of(stamps: &[(u64, i64)], more: bool) -> HttpResponse {
    let result = |(id, ms): &(u64, i64)| {
        let at = jiff::Timestamp::from_millisecond(*ms).expect("a time").to_string();
        json!({"id": id.to_string(), "properties": {"hs_lastmodifieddate": at}, "archived": false, "updatedAt": at})
    };
    let mut b = json!({"total": 9, "results": stamps.iter().map(result).collect::<Vec<_>>()});
    if more {
        b["paging"] = json!({"next": {"after": "200"}});
    }
    answer(200, &b)
}

#[test]
fn a_list_continues_from_the_last_stamp_and_survives_a_page_of_equal_stamps() {
    let t = target("deals");
    let next = |cursor: Option<&str>, r: &HttpResponse| API.parse_page(&t, 1_000, cursor, r).expect("a page").next;
    assert_eq!(next(None, &page_of(&[(1, 1_000), (2, 3_000)], true)).as_deref(), Some("3000"));
    assert_eq!(next(None, &page_of(&[(1, 1_000), (2, 3_000)], false)), None);
    assert_eq!(next(Some("3000"), &page_of(&[(9, 3_000), (2, 3_000)], true)).as_deref(), Some("3000/0"));
    assert_eq!(next(Some("3000/0"), &page_of(&[(2, 3_000), (9, 3_000)], true)).as_deref(), Some("3000/9"));
    assert_eq!(next(Some("3000/9"), &page_of(&[(11, 3_000)], false)).as_deref(), Some("3001"));
    let tie = body(&API.list(&t, 1_000, Some("3000/9"), &[]));
    assert_eq!(tie["sorts"][0]["propertyName"], "hs_object_id");
    assert_eq!(tie["filterGroups"][0]["filters"][1]["value"], "9");
    let first = body(&API.list(&t, 1_000, None, &[]));
    assert_eq!(
        first["filterGroups"][0]["filters"],
        json!([{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "1000"}])
    );
}

#[test]
fn a_missing_scope_concerns_the_object_type_and_is_named() {
    let body = json!({"status": "error", "category": "MISSING_SCOPES", "message": "This app hasn't been granted all required scopes",
        "errors": [{"message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": ["crm.objects.tickets.read"]}}]});
    let failure = API.parse_found(&target("tickets"), &answer(403, &body)).expect_err("a failure");
    assert_eq!((failure.kind, failure.scope), (FailureKind::Denied, Scope::ObjectType));
    assert_eq!(failure.to_string(), "MISSING_SCOPES: needs crm.objects.tickets.read");
}

#[test]
fn a_page_from_a_firewall_is_no_word_about_the_token() {
    let page = HttpResponse { status: 403, headers: vec![("content-type".into(), "text/html; charset=UTF-8".into())], body: b"<html>blocked</html>".to_vec() };
    let failure = API.parse_written(&target("contacts"), &rows(2), &page).expect_err("a failure");
    assert_eq!((failure.kind, failure.scope), (FailureKind::Blocked, Scope::Row));
}

#[test]
fn every_property_and_every_holder_of_a_value_is_named() {
    let message = "Property values were not valid: [{\"isValid\":false,\"message\":\"x\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"gone\"},\
                   {\"isValid\":false,\"message\":\"y\",\"error\":\"INVALID_OPTION\",\"name\":\"stage\"}]";
    let body = json!({"status": "error", "category": "VALIDATION_ERROR", "message": message});
    let failure = API.parse_written(&target("deals"), &rows(1), &answer(400, &body)).expect_err("a failure");
    let faults: Vec<(&str, bool)> = failure.faults.iter().map(|f| (f.property.as_str(), f.in_every_row)).collect();
    assert_eq!((failure.scope, faults), (Scope::Property, vec![("gone", true), ("stage", false)]));
    let taken = json!({"category": "CONFLICT", "message": "Cannot set x on 101. 51 already has that value. Existing ID: 77"});
    let failure = API.parse_written(&target("contacts"), &rows(1), &answer(409, &taken)).expect_err("a failure");
    assert_eq!((failure.kind, failure.objects), (FailureKind::DuplicateKey, vec!["51".to_owned(), "77".to_owned()]));
}

fn edges() -> Vec<Edge> {
    let edge = |from: &str, to: &str| Edge { from: from.into(), to: to.into() };
    vec![edge("1", "501"), edge("2", "502"), edge("3", "503")]
}

#[test]
fn associations_name_their_type() {
    let association = Association { property: "associated_contact".into(), to: "contacts".into(), type_id: 3 };
    let r = API.associate(&target("deals"), &association, &edges()).expect("HubSpot keeps associations");
    assert_eq!((r.method, r.url.as_str()), ("POST", "https://api.test/crm/v4/associations/deals/contacts/batch/create"));
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]);
    assert_eq!(body(&r)["inputs"][0], json!({"from": {"id": "1"}, "to": {"id": "501"}, "types": types}));
}

#[test]
fn an_edge_fails_with_the_error_that_names_it() {
    let created = json!({"fromObjectTypeId": "0-3", "fromObjectId": 1, "toObjectTypeId": "0-1", "toObjectId": 501, "labels": []});
    let error = json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "no such object",
        "context": {"fromObjectId": ["2"], "toObjectId": ["502"]}});
    let parse = |errors: Value| {
        let answer = answer(207, &json!({"status": "COMPLETE", "results": [created], "numErrors": 1, "errors": errors}));
        let results = API.parse_associated(&target("deals"), &edges(), &answer).expect("a part succeeded");
        results.into_iter().map(|r| r.map_err(|f| (f.kind, f.code))).collect::<Vec<_>>()
    };
    let missing = Err((FailureKind::NotFound, "OBJECT_NOT_FOUND".to_owned()));
    let unknown = Err((FailureKind::Transient, "NOT_MENTIONED".to_owned()));
    assert_eq!(parse(json!([error])), [Ok(()), missing, unknown]);
    let unnamed = json!({"status": "error", "category": "VALIDATION_ERROR", "message": "too many"});
    let rejected = || Err((FailureKind::Rejected, "VALIDATION_ERROR".to_owned()));
    assert_eq!(parse(json!([unnamed])), [Ok(()), rejected(), rejected()]);
    let all = API.parse_associated(&target("deals"), &edges(), &answer(201, &json!({"status": "COMPLETE", "results": []})));
    assert_eq!(all, Ok(vec![Ok(()), Ok(()), Ok(())]));
    assert!(API.parse_associated(&target("deals"), &edges(), &answer(429, &json!({}))).is_err());
}
