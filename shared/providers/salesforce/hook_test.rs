//! Salesforce's change events: bitmaps of changed fields.

use serde_json::json;

use super::*;

/// A schema of nine fields, the last of which is compound.
fn small() -> Value {
    let plain = |name: &str| json!({"name": name, "type": ["null", "string"]});
    let parts = ["Street", "City", "Country"].map(plain);
    let address = json!({"type": "record", "name": "Address", "fields": parts});
    let mut fields: Vec<Value> = ["ChangeEventHeader", "Name", "Email", "Phone", "Title", "Fax", "Notes", "OwnerId"].map(plain).into();
    fields.push(json!({"name": "MailingAddress", "type": ["null", address]}));
    json!({"type": "record", "name": "ThingChangeEvent", "fields": fields})
}

fn named(bitmaps: &[&str]) -> Option<Vec<String>> {
    fields_of_bitmaps(&small(), &bitmaps.iter().map(|&b| b.to_owned()).collect::<Vec<_>>())
}

fn rewritten(event: Value, around: Value) -> Value {
    serde_json::from_str(&rewrite(&event.to_string(), &around.to_string()).unwrap().unwrap()).unwrap()
}

#[test]
fn bits_are_fields_from_the_lowest() {
    assert_eq!(named(&["0x02"]).unwrap(), ["Name"]);
    assert_eq!(named(&["0x86"]).unwrap(), ["Name", "Email", "OwnerId"]);
    assert_eq!(named(&["0x0100", "8-0x05"]).unwrap(), ["MailingAddress", "MailingAddress.Street", "MailingAddress.Country"]);
    assert_eq!(named(&["8-0x2"]).unwrap(), ["MailingAddress.City"]);
    assert_eq!(named(&[]).unwrap(), [""; 0]);
    for broken in ["0x0200", "0x", "Email", "0xg", "8-0x08", "1-0x01", "9-0x01", "x-0x01", "-0x01"] {
        assert_eq!(named(&[broken]), None, "{broken}");
    }
}

#[test]
fn a_bitmap_may_have_more_than_sixty_four_fields() {
    let many: Vec<Value> = (0..200).map(|i| json!({"name": format!("F{i}"), "type": "string"})).collect();
    let bitmap = format!("0x8{}1", "0".repeat(40));
    assert_eq!(fields_of_bitmaps(&json!({"fields": many}), &[bitmap]).unwrap(), ["F0", "F167"]);
}

#[test]
fn an_update_holds_what_changed_and_nothing_else() {
    let event = json!({"ChangeEventHeader": {"changeType": "UPDATE", "changedFields": ["0x0c", "8-0x02"], "nulledFields": ["0x08"], "commitNumber": 9_007_199_254_740_993_u64},
        "Email": "a@b.example", "Phone": null, "Name": null, "Title": "kept", "MailingAddress": {"City": "Oslo", "Country": "NO", "Street": null}});
    let found = rewritten(event, json!({"schema": small()}));
    let header = json!({"changeType": "UPDATE", "changedFields": ["Email", "Phone", "MailingAddress.City"], "nulledFields": ["Phone"], "commitNumber": 9_007_199_254_740_993_u64});
    let unchanged = json!({"Title": "kept", "MailingAddress": {"Country": "NO"}});
    let wanted = json!({"ChangeEventHeader": header, "Email": "a@b.example", "Phone": null, "MailingAddress": {"City": "Oslo"}, "unchanged": unchanged});
    assert_eq!(found, wanted);
}

#[test]
fn cleared_fields_are_null_also_when_the_body_leaves_them_out() {
    let event = json!({"ChangeEventHeader": {"changeType": "UPDATE", "changedFields": ["Fax", "MailingAddress.City"], "nulledFields": ["Fax", "MailingAddress.City"]}});
    let found = rewritten(event, json!({}));
    assert_eq!((&found["Fax"], &found["MailingAddress"]), (&Value::Null, &json!({"City": null})));
    assert!(found.as_object().unwrap().contains_key("Fax"));
}

#[test]
fn a_new_record_has_no_nulls_and_digits_stay() {
    let text = r#"{"ChangeEventHeader":{"changeType":"CREATE","recordIds":["001*"]},"A":null,"B":{"X":null},"C":{"X":null,"Y":1},"D":12345678901234567.10}"#;
    let found = rewrite(text, "{}").unwrap().unwrap();
    assert_eq!(found, r#"{"C":{"Y":1},"ChangeEventHeader":{"changeType":"CREATE","recordIds":["001*"],"wildcard":true},"D":12345678901234567.10}"#);
}

#[test]
fn what_cannot_be_decoded_stays() {
    let event = json!({"ChangeEventHeader": {"changeType": "UPDATE", "changedFields": ["0x04"]}, "Email": null});
    let mut marked = event.clone();
    marked["ChangeEventHeader"]["undecoded"] = json!(true);
    assert_eq!(rewritten(event.clone(), json!({"schema": "an-id-and-no-schema"})), marked);
    let text = small().to_string();
    assert_eq!(rewritten(event, json!({"schema": text}))["ChangeEventHeader"]["changedFields"], json!(["Email"]));
    for other in ["[]", "7", "{}", "{\"ChangeEventHeader\":3}", "not JSON"] {
        assert_eq!(rewrite(other, "{}"), Ok(None), "{other}");
    }
}
