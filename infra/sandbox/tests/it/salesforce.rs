//! The rules of the stand-in for Salesforce.

use sandbox::{Salesforce, Sandbox, salesforce};
use serde_json::{Value, json};

use crate::{T0, call, map};

fn org() -> Salesforce {
    Salesforce::new(salesforce::Options::default())
}

fn query(sandbox: &mut Salesforce, soql: &str) -> (u16, Value) {
    let encoded: String = soql.bytes().map(|b| format!("%{b:02X}")).collect();
    let answer = call(sandbox, "GET", &format!("/services/data/v62.0/query?q={encoded}"), Value::Null, T0 + 99_000);
    (answer.status, answer.value())
}

fn names(answer: &(u16, Value)) -> String {
    assert_eq!(answer.0, 200, "{answer:?}");
    let records = answer.1["records"].as_array().into_iter().flatten();
    records.map(|r| r["Name"].as_str().unwrap_or("?")).collect::<Vec<_>>().join(" ")
}

#[test]
fn queries_filter_sort_and_limit() {
    let mut sandbox = org();
    for (i, (name, revenue)) in [("Beta", 10), ("alpha", 9), ("Gamma's", 11)].into_iter().enumerate() {
        let at = T0 + i64::try_from(i).expect("small") * 1_000;
        sandbox
            .seed("Account", &map(json!({"Name": name, "AnnualRevenue": revenue, "Hub_Id__c": format!("a{i}")})), at)
            .expect("seeded");
    }
    let gone = sandbox.seed("Account", &map(json!({"Name": "Gone"})), T0).expect("seeded");
    sandbox.delete("account", &gone, T0 + 1).expect("deleted");
    let mut found = |rest: &str| names(&query(&mut sandbox, &format!("SELECT Id, Name FROM Account {rest}")));
    assert_eq!(found("ORDER BY Name"), "alpha Beta Gamma's");
    assert_eq!(found("where name = 'ALPHA'"), "alpha");
    assert_eq!(found(r"WHERE Name IN ('beta', 'Gamma\'s') ORDER BY AnnualRevenue DESC"), "Gamma's Beta");
    assert_eq!(
        found("WHERE SystemModstamp >= 2026-01-01T00:00:01.000Z AND AnnualRevenue < 11 ORDER BY SystemModstamp, Id LIMIT 1"),
        "alpha"
    );
    assert_eq!(found("WHERE SystemModstamp >= 2026-01-01T01:00:02+01:00"), "Gamma's");
    assert_eq!(found("WHERE Phone = null AND Hub_Id__c != 'a0' ORDER BY Hub_Id__c DESC LIMIT 10"), "Gamma's alpha");
    let (_, row) = query(&mut sandbox, "SELECT Id, IsDeleted, AnnualRevenue, SystemModstamp FROM Account LIMIT 1");
    assert_eq!(row["records"][0]["SystemModstamp"], "2026-01-01T00:00:00.000+0000");
    assert_eq!(row["records"][0]["AnnualRevenue"], 10);
    assert_eq!((&row["totalSize"], &row["done"]), (&json!(1), &json!(true)));
}

#[test]
fn queries_outside_the_subset_are_errors() {
    let mut sandbox = org();
    let code = |sandbox: &mut Salesforce, soql: &str| {
        let (status, body) = query(sandbox, soql);
        (status, body[0]["errorCode"].as_str().unwrap_or_default().to_owned())
    };
    for bad in [
        "SELECT Id FROM Account WHERE Name LIKE 'a%'",
        "SELECT Id FROM Account WHERE Name = 'a' OR Name = 'b'",
        "SELECT Id FROM Account WHERE (Name = 'a')",
        "SELECT COUNT() FROM Account",
        "SELECT Account.Name FROM Contact",
        "SELECT Id FROM Account WHERE Name = 'a'; DELETE",
        "SELECT Id FROM Account WHERE Name = 'a' LIMIT x",
        "SELECT Id FROM Account WHERE Name = 'open",
        r"SELECT Id FROM Account WHERE Name = 'bad\q'",
        "SELECT Id FROM Account WHERE Name IN ()",
        "SELECT Id, FROM Account",
        "SELECT Id FROM Account trailing",
        "",
    ] {
        assert_eq!(code(&mut sandbox, bad), (400, "MALFORMED_QUERY".into()), "{bad}");
    }
    assert_eq!(code(&mut sandbox, "SELECT Nosuch__c FROM Account").1, "INVALID_FIELD");
    assert_eq!(code(&mut sandbox, "SELECT Id FROM Account WHERE SystemModstamp >= '2026-01-01T00:00:00Z'").1, "INVALID_FIELD");
    assert_eq!(code(&mut sandbox, "SELECT Id FROM Account WHERE AnnualRevenue = 'x'").1, "INVALID_FIELD");
    assert_eq!(code(&mut sandbox, "SELECT Id FROM Yacht").1, "INVALID_TYPE");
}

#[test]
fn one_record_by_external_id() {
    let mut options = salesforce::Options::default();
    options.objects.get_mut("Contact").and_then(|o| o.properties.get_mut("Hub_Id__c")).expect("the field").unique = false;
    let mut sandbox = Salesforce::new(options);
    let path = "/services/data/v62.0/sobjects/Contact/Hub_Id__c/g%2F1";
    let first = call(&mut sandbox, "PATCH", path, json!({"LastName": "Roe"}), T0);
    assert_eq!((first.status, &first.value()["created"]), (201, &json!(true)));
    assert_eq!(first.header("sforce-limit-info"), Some("api-usage=1/100000"));
    let again = call(&mut sandbox, "PATCH", path, json!({"LastName": "Poe"}), T0 + 1);
    assert_eq!((again.status, &again.value()["created"]), (200, &json!(false)));
    assert_eq!(call(&mut sandbox, "GET", path, Value::Null, T0 + 2).value()["LastName"], "Poe");
    sandbox.seed("Contact", &map(json!({"LastName": "Twin", "Hub_Id__c": "g/1"})), T0 + 3).expect("seeded");
    let several = call(&mut sandbox, "PATCH", path, json!({"LastName": "Doe"}), T0 + 4);
    assert_eq!((several.status, several.value().as_array().map(Vec::len)), (300, Some(2)));
    let record = json!({"attributes": {"type": "Contact"}, "Hub_Id__c": "g/1", "LastName": "Doe"});
    let body = json!({"allOrNone": false, "records": [record]});
    let collection = call(&mut sandbox, "PATCH", "/services/data/v62.0/composite/sobjects/Contact/Hub_Id__c", body, T0 + 5);
    assert_eq!(collection.value()[0]["errors"][0]["statusCode"], "DUPLICATE_EXTERNAL_ID");
}

#[test]
fn rows_are_created_read_changed_and_deleted() {
    let mut sandbox = org();
    let base = "/services/data/v62.0/sobjects/Lead";
    let bad = call(&mut sandbox, "POST", base, json!({"LastName": "Roe"}), T0);
    assert_eq!(
        (bad.status, bad.value()),
        (
            400,
            json!([{"errorCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Company]", "fields": ["Company"]}])
        )
    );
    let made = call(&mut sandbox, "POST", base, json!({"FirstName": "Jo", "LastName": "Roe", "Company": "Acme"}), T0).value();
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!(made, json!({"id": id, "success": true, "errors": []}));
    let read = call(&mut sandbox, "GET", &format!("{base}/{}?fields=Name,Email", &id[..15]), Value::Null, T0).value();
    assert_eq!((read["Name"].as_str(), &read["Email"]), (Some("Jo Roe"), &Value::Null));
    assert_eq!(call(&mut sandbox, "PATCH", &format!("{base}/{id}"), json!({"Email": "jo@x.test"}), T0 + 1).status, 204);
    assert_eq!(
        call(&mut sandbox, "PATCH", &format!("{base}/{id}"), json!({"Name": "X"}), T0 + 1).value()[0]["errorCode"],
        "INVALID_FIELD_FOR_INSERT_UPDATE"
    );
    assert_eq!(call(&mut sandbox, "DELETE", &format!("{base}/{id}"), Value::Null, T0 + 60_000).status, 204);
    let again = call(&mut sandbox, "GET", &format!("{base}/{id}"), Value::Null, T0 + 60_001);
    assert_eq!((again.status, again.value()[0]["errorCode"].as_str()), (404, Some("ENTITY_IS_DELETED")));
    let window = "start=2026-01-01T00%3A00%3A00%2B00%3A00&end=2026-01-01T00%3A02%3A00%2B00%3A00";
    let deleted = call(&mut sandbox, "GET", &format!("{base}/deleted/?{window}"), Value::Null, T0 + 300_000).value();
    assert_eq!(deleted["deletedRecords"], json!([{"id": id, "deletedDate": "2026-01-01T00:01:00.000+0000"}]));
    let updated = call(&mut sandbox, "GET", &format!("{base}/updated/?{window}"), Value::Null, T0 + 300_000).value();
    assert_eq!(updated, json!({"ids": [], "latestDateCovered": "2026-01-01T00:02:00.000+0000"}));
    let limits = call(&mut sandbox, "GET", "/services/data/v62.0/limits", Value::Null, T0).value();
    assert_eq!(limits["DailyApiRequests"], json!({"Max": 100_000, "Remaining": 99_990}));
}

#[test]
fn collections_have_a_limit_and_can_be_all_or_none() {
    let mut sandbox = org();
    let path = "/services/data/v62.0/composite/sobjects/Account/Hub_Id__c";
    let record = |i: usize| json!({"attributes": {"type": "Account"}, "Hub_Id__c": format!("a{i}"), "Name": "A"});
    let body = |n: usize, all: bool| json!({"allOrNone": all, "records": (0..n).map(record).collect::<Vec<_>>()});
    assert_eq!(call(&mut sandbox, "PATCH", path, body(201, false), T0).status, 400);
    let empty = call(&mut sandbox, "PATCH", path, body(0, false), T0);
    assert_eq!((empty.status, empty.value()[0]["errorCode"].as_str()), (400, Some("REQUIRED_FIELD_MISSING")));
    let mut broken = body(3, true);
    broken["records"][1]["Nosuch__c"] = json!(1);
    let codes = |answer: &Value| {
        let code = |r: &Value| r["errors"][0]["statusCode"].as_str().unwrap_or("ok").to_owned();
        answer.as_array().into_iter().flatten().map(code).collect::<Vec<_>>()
    };
    let undone = call(&mut sandbox, "PATCH", path, broken.clone(), T0).value();
    assert_eq!(codes(&undone), ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_FIELD", "ALL_OR_NONE_OPERATION_ROLLED_BACK"]);
    assert_eq!(sandbox.comparable(&[])["Account"], Value::Null, "nothing was stored");
    broken["allOrNone"] = json!(false);
    broken["records"][2]["Hub_Id__c"] = json!("a0");
    let second = call(&mut sandbox, "PATCH", path, broken, T0).value();
    assert_eq!(codes(&second), ["DUPLICATE_VALUE", "INVALID_FIELD", "DUPLICATE_VALUE"]);
    assert_eq!(codes(&call(&mut sandbox, "PATCH", path, body(200, false), T0).value()), vec!["ok"; 200]);
}

#[test]
fn a_merge_moves_references_and_a_truncating_org_cuts() {
    let mut sandbox = Salesforce::new(salesforce::Options::default().truncating());
    let a = sandbox.create("Account", &map(json!({"Name": "Acme"})), T0).expect("created");
    let b = sandbox.create("Account", &map(json!({"Name": "Acme Ltd", "Phone": "1"})), T0).expect("created");
    let long = "x".repeat(90);
    sandbox.create("Contact", &map(json!({"LastName": long, "AccountId": b})), T0).expect("created");
    sandbox.merge("Account", &a, &b, T0 + 1).expect("merged");
    let expected = json!({"AccountId": "Acme", "LastName": "x".repeat(80)});
    assert_eq!(sandbox.comparable(&[])["Contact"], json!([{ "properties": expected }]));
    let all = call(
        &mut sandbox,
        "GET",
        "/services/data/v62.0/queryAll?q=SELECT+Id,MasterRecordId+FROM+Account+WHERE+IsDeleted=true",
        Value::Null,
        T0,
    )
    .value();
    assert_eq!(
        (all["records"][0]["Id"].as_str(), all["records"][0]["MasterRecordId"].as_str()),
        (Some(b.as_str()), Some(a.as_str()))
    );
}

#[test]
fn a_used_up_day_answers_as_documented() {
    let mut sandbox = Salesforce::new(salesforce::Options { per_day: 0, ..salesforce::Options::default() });
    let answer = call(&mut sandbox, "GET", "/services/data/v62.0/limits", Value::Null, T0);
    let expected = json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]);
    assert_eq!((answer.status, answer.value()), (403, expected));
}

#[test]
fn own_fields_can_be_defined() {
    let number = sandbox::Property::of(sandbox::Kind::Number);
    let mut sandbox = Salesforce::new(salesforce::Options::default().define("Account", "Score__c", number));
    sandbox.seed("Account", &map(json!({"Name": "A", "Score__c": "7"})), T0).expect("seeded");
    assert_eq!(sandbox.comparable(&[])["Account"][0]["properties"]["Score__c"], 7);
}
