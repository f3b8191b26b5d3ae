//! What `[events]` of a manifest can declare, each key with a provider that is made up here.

use std::collections::BTreeMap;

use providers::{EventBody, Inbound, InboundEvent, Malformed, Provider, Sequence};
use serde_json::{Value, json};

/// A provider with these `[events]`: `changed` is thin, `lost` starts a sweep, and `noted` is ignored.
fn provider(mut events: Value) -> Provider {
    events["type"] = json!(["type", "$header.x-state"]);
    events["on"] = json!([
        {"types": "changed", "do": "fetch", "object": "thing", "id": "id"},
        {"types": "lost", "do": "sweep", "object": "thing", "why": "lost"},
        {"types": "noted", "do": "ignore", "why": "nothing to do"},
    ]);
    let about = json!({"name": "made-up", "title": "Made up"});
    let packed = json!({"manifest": {"provider": about, "webhook": {"scheme": {"form": "basic"}}, "events": events}, "maps": []});
    Provider::from_packed(&packed.to_string()).unwrap()
}

fn events(provider: &Provider, headers: &[(&str, &str)], body: &str) -> Result<Vec<InboundEvent>, Malformed> {
    let headers: BTreeMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    provider.events(&Inbound { connection: "here", headers: &headers, target: "POST /hooks/here", body: body.as_bytes() })
}

fn keys(provider: &Provider, body: &str) -> Vec<String> {
    events(provider, &[], body).unwrap().into_iter().map(|event| event.key).collect()
}

fn numbered() -> Provider {
    provider(json!({"at": "events[*]", "key": ["id"], "sequence": {"first": "from", "last": "to"},
        "stamp": {"from": "time", "unit": "s", "sequence": "$sequence"}}))
}

#[test]
fn a_gap_between_bodies_is_counted() {
    let sequence = numbered().sequence(br#"{"events":[{},{}],"from":7,"to":8}"#).unwrap();
    assert_eq!(sequence, Sequence { first: 7, last: 8 });
    assert_eq!([6, 4, 7, 8].map(|seen| sequence.missing_after(seen)), [0, 2, 0, 0]);
    assert_eq!(numbered().sequence(br#"{"events":[]}"#), None);
    assert_eq!(provider(json!({"key": ["id"]})).sequence(br#"{"from":7,"to":8}"#), None);
}

#[test]
fn each_event_of_a_body_has_its_own_number() {
    let numbers = |range: &str| -> Vec<Option<u64>> {
        let body = format!(r#"{{"events":[{{"type":"noted","time":1}},{{"type":"noted","time":1}}]{range}}}"#);
        events(&numbered(), &[], &body).unwrap().iter().map(|e| e.stamp.unwrap().sequence).collect()
    };
    assert_eq!(numbers(r#","from":7,"to":8"#), [Some(7), Some(8)]);
    assert_eq!(numbers(r#","from":7"#), [None, None]);
    assert_eq!(numbers(&format!(r#","from":{0},"to":{0}"#, u64::MAX)), [Some(u64::MAX), Some(u64::MAX)]);
}

#[test]
fn one_bad_item_of_a_list_does_not_affect_its_neighbours() {
    let lists = provider(json!({"at": "value[*]", "key": ["id"]}));
    let body = r#"{"value":[{"type":"changed","id":"a"},7,{"type":"changed"},null,{"type":"changed","id":"b"}]}"#;
    let found = events(&lists, &[], body).unwrap();
    let fetched: Vec<bool> = found.iter().map(|e| matches!(e.body, EventBody::Fetch(_))).collect();
    assert_eq!(fetched, [true, false, false, false, true]);
    assert_eq!(found[4].index, 4);
    assert_eq!(events(&lists, &[], r#"{"value":[]}"#), Ok(vec![]));
    assert_eq!(keys(&lists, r#"{"type":"noted","id":"x"}"#), ["1:x"], "a body without the list is one event");
}

#[test]
fn an_event_can_use_what_surrounds_it() {
    let nested = provider(json!({"at": "groups[*].of.items[*]", "key": ["$outer.company", "id"]}));
    let body = r#"{"groups":[{"company":"A","of":{"items":[{"type":"noted","id":1},{"type":"noted","id":2}]}},{"company":"B","more":1,"of":{"items":[{"type":"noted","id":1,"x":0}]}}]}"#;
    assert_eq!(keys(&nested, body), ["1:A1:1", "1:A1:2", "1:B1:1"]);
    assert_eq!(nested.unmapped(body.as_bytes()).unwrap(), ["groups[*].more", "x"]);
}

#[test]
fn forms_and_texts_hold_events() {
    let forms = provider(json!({"form": true, "json_in": ["payload"], "key": ["data.id"]}));
    assert_eq!(keys(&forms, "type=noted&data%5Bid%5D=a%2Bb"), ["3:a+b"]);
    assert_eq!(keys(&forms, "payload=%7B%22type%22%3A%22noted%22%2C%22data%22%3A%7B%22id%22%3A1%7D%7D"), ["1:1"]);
    assert_eq!(keys(&forms, r#"{"type":"noted","data":{"id":"j"}}"#), ["1:j"]);
}

#[test]
fn a_manifest_that_cannot_be_read_loses_no_event() {
    let broken = provider(json!({"key": ["a["]}));
    let found = events(&broken, &[], r#"{"type":"noted"}"#).unwrap().remove(0);
    assert!(matches!(found.body, EventBody::Malformed { .. }), "{found:?}");
}

#[test]
fn headers_without_a_body_are_an_event() {
    let bodyless = provider(json!({"bodyless": true, "headers": ["x-state"], "key": ["$header.x-state"]}));
    let found = events(&bodyless, &[("x-state", "lost")], "").unwrap().remove(0);
    assert_eq!(found.body, EventBody::Sweep { objects: vec!["thing".into()], reason: "lost".into() });
}

#[test]
fn bodies_that_are_broken_as_a_whole() {
    let lists = provider(json!({"at": "value[*]", "key": ["id"]}));
    let forms = provider(json!({"form": true, "json_in": ["payload"], "key": ["id"]}));
    for (provider, body, reason) in [
        (&lists, r#"{"value":[{"#, "the JSON ends too early at byte 10"),
        (&lists, "[]", "the body is not a JSON object at byte 0"),
        (&lists, "value[]=1", "the body is not JSON at byte 0"),
        (&forms, "payload=%7Bx", "the JSON inside the body is not JSON"),
        (&forms, "a=%ff", "a form parameter is not UTF-8"),
        (&forms, "", "the body is empty"),
    ] {
        assert_eq!(events(provider, &[], body).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_rule_may_have_its_own_key() {
    let mut packed: Value = serde_json::from_str(&provider(json!({"key": ["id"]})).to_packed()).unwrap();
    packed["manifest"]["events"]["on"][2]["key"] = json!(["thing", "time"]);
    let own = Provider::from_packed(&packed.to_string()).unwrap();
    assert_eq!(keys(&own, r#"{"type":"noted","id":"i","thing":"t","time":5}"#), ["1:t1:5"]);
    assert_eq!(keys(&own, r#"{"type":"lost","id":"i","thing":"t","time":5}"#), ["1:i"]);
}

#[test]
fn the_members_of_a_body_decide_its_type() {
    let forms = provider(json!({"form": true, "key": ["$type"], "untyped": [
        {"when": ["record", "note"], "type": "noted"}, {"when": "thing", "type": "lost"}]}));
    for (body, key) in [
        ("thing=1", "4:lost"),
        ("thing=1&note=2", "5:noted"),
        ("thing=1&record=", "4:lost"),
        ("type=changed&note=2", "7:changed"),
    ] {
        assert_eq!(keys(&forms, body), [key], "{body}");
    }
}

#[test]
fn a_text_that_is_nothing_else_is_a_keyword() {
    let keywords = json!({"from": ["order", "text"], "spellings": {"STOP": ["stop", "stop all"], "HELP": ["help"]}});
    let forms = provider(json!({"form": true, "key": ["$keyword"], "keywords": keywords}));
    for (body, key) in [
        ("text=Stop", "4:STOP"),
        ("text=+%22STOP++ALL%22.+", "4:STOP"),
        ("text=stop+please", "-"),
        ("text=unstop", "-"),
        ("text=", "-"),
        ("order=HELP&text=stop", "4:HELP"),
        ("order=other&text=stop", "4:STOP"),
    ] {
        assert_eq!(keys(&forms, &format!("type=noted&{body}")), [key], "{body}");
    }
}

#[test]
fn steps_may_have_names_instead_of_numbers() {
    let steps = provider(
        json!({"key": ["id"], "stamp": {"from": "time", "unit": "s", "sequence": ["no", "step"], "order": {"begun": 0, "done": 1}}}),
    );
    let number = |rest: &str| {
        let body = format!(r#"{{"type":"noted","time":1{rest}}}"#);
        events(&steps, &[], &body).unwrap()[0].stamp.unwrap().sequence
    };
    assert_eq!([r#","step":"begun""#, r#","step":"done""#, r#","step":"other""#, ""].map(number), [Some(0), Some(1), None, None]);
    assert_eq!(number(r#","no":7,"step":"done""#), Some(7));
}

#[test]
fn events_may_be_at_one_of_several_paths() {
    let paths = provider(json!({"at": ["a[*].event", "b.event", "b"], "key": ["$outer.name", "id"]}));
    for (body, wanted) in [
        (r#"{"name":"n","b":{"event":{"type":"noted","id":1}}}"#, &["1:n1:1"][..]),
        (r#"{"name":"n","b":{"type":"noted","id":2}}"#, &["1:n1:2"]),
        (r#"{"name":"n","type":"noted","id":3}"#, &["1:n1:3"]),
        (r#"{"a":[{"name":"m","event":{"type":"noted","id":4}},{"name":"o","type":"noted","id":5}]}"#, &["1:m1:4", "1:o1:5"]),
    ] {
        assert_eq!(keys(&paths, body), wanted, "{body}");
    }
    assert_eq!(paths.unmapped(br#"{"name":"n","more":1,"b":{"type":"noted","id":2,"x":1}}"#).unwrap(), ["more", "x"]);
}

#[test]
fn an_element_of_a_list_may_be_a_text() {
    let texts = provider(json!({"at": "list[*]", "json_in": ["text"], "key": ["$outer.of", "id"]}));
    let body = r#"{"of":"x","list":[{"text":"{\"type\":\"noted\",\"id\":1}"},{"text":"{","type":"noted","id":2}]}"#;
    assert_eq!(keys(&texts, body), ["1:x1:1", "1:x1:2"], "a broken text stays a text");
}

fn about_many(rule: Value) -> Provider {
    let mut packed: Value =
        serde_json::from_str(&provider(json!({"key": ["$each", "$each.id", "$nth", "$whole"]})).to_packed()).unwrap();
    for (name, value) in rule.as_object().unwrap() {
        packed["manifest"]["events"]["on"][0][name] = value.clone();
    }
    Provider::from_packed(&packed.to_string()).unwrap()
}

#[test]
fn an_event_may_be_about_several_things() {
    let each = about_many(json!({"each": ["things", "more.things"], "id": "$each"}));
    let found = events(&each, &[], r#"{"type":"changed","things":[],"more":{"things":["a",9007199254740993]}}"#).unwrap();
    let numbered: Vec<_> = found.iter().map(|e| (e.index, e.key.as_str())).collect();
    assert_eq!(numbered, [(0, "1:a-1:0-"), (1, "16:9007199254740993-1:1-")]);
    let EventBody::Fetch(wanted) = &found[1].body else { panic!("{found:?}") };
    assert_eq!(wanted[0].id, "9007199254740993");
    assert_eq!(each.unmapped(br#"{"type":"changed","more":{"things":["a"]}}"#).unwrap(), [""; 0]);

    let members = about_many(json!({"each": "things", "id": "$each.id", "also_whole": true}));
    let body = r#"{"type":"changed","things":[{"id":"a"},{"id":"b","deep":{}},{"other":1},null]}"#;
    assert_eq!(keys(&members, body), ["---4:true", "-1:a1:0-", "-1:b1:1-", "--1:2-", "--1:3-"]);
    assert_eq!(keys(&members, r#"{"type":"changed"}"#), ["---4:true"]);
    assert_eq!(keys(&each, r#"{"type":"changed"}"#), ["----"], "without elements it is one event");
}

#[test]
fn xml_is_read_like_json() {
    let xml = provider(json!({"xml": {"lists": ["item"]}, "at": "list.item[*]", "key": ["$outer.list.@of", "@type", "id"]}));
    let body = r#"<?xml version="1.0"?><x:list xmlns:x="u" of="l"><item><type>noted</type><id>1</id></item></x:list>"#;
    assert_eq!(keys(&xml, body), ["1:l-1:1"]);
    assert_eq!(keys(&xml, r#"{"list":{"item":[{"type":"noted","id":2}]}}"#), ["--1:2"], "JSON stays JSON");
    assert_eq!(events(&xml, &[], "<list>").unwrap_err().reason, "the XML ends too early");
    let none = provider(json!({"key": ["id"]}));
    assert_eq!(events(&none, &[], body).unwrap_err().reason, "the body is not JSON", "only where it is declared");
}

#[test]
fn conditions_may_be_patterns() {
    let when = about_many(json!({"when": {"by": "*;client=us"}}));
    let fetched = |by: &str| {
        let found = events(&when, &[], &json!({"type": "changed", "id": "i", "by": by}).to_string()).unwrap().remove(0);
        matches!(found.body, EventBody::Fetch(_))
    };
    assert_eq!(["rest;client=us", "rest;client=us2", "client=us", ""].map(fetched), [true, false, false, false]);
}

#[test]
fn the_surviving_record_of_a_merge_is_read_by_an_event_of_its_own() {
    let mut packed: Value = serde_json::from_str(&provider(json!({"list": true, "key": ["id"]})).to_packed()).unwrap();
    packed["maps"] = json!([{"name": "thing", "objects": [["thing", "contact"]], "map": {}}]);
    packed["manifest"]["events"]["on"][1] = json!({"types": "merged", "do": "merge", "object": "thing", "id": "id", "also_merged": "others",
        "survivor": ["new", "id"], "then_fetch": true});
    let merging = Provider::from_packed(&packed.to_string()).unwrap();
    let body = r#"[{"type":"merged","id":1,"others":[2],"new":3},{"type":"changed","id":4}]"#;
    let found = events(&merging, &[], body).unwrap();
    let fetched: Vec<Option<&str>> = found
        .iter()
        .map(|e| match &e.body {
            EventBody::Fetch(ids) => Some(ids[0].id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(fetched, [None, Some("3"), Some("4")]);
    assert_eq!(found.iter().map(|e| e.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_ne!(found[0].key, found[1].key);
}

fn multipart(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let part = |(head, value): &(&str, &[u8])| {
        [b"--b\r\nContent-Disposition: form-data; ", head.as_bytes(), b"\r\n\r\n", value, b"\r\n"].concat()
    };
    fields.iter().map(part).chain([b"--b--\r\n".to_vec()]).collect::<Vec<_>>().concat()
}

#[test]
fn multipart_forms_keep_files_apart_and_read_each_field_in_its_character_set() {
    let forms = provider(
        json!({"multipart": true, "charsets": "sets", "key": ["a", "b", "c", "d", "'e[x]'", "file.filename", "file.type", "file.size"]}),
    );
    let body = multipart(&[
        (r#"name="type""#, b"noted"),
        (r#"name="a""#, b"\xe9"),
        (r#"name="b""#, b"\x1b$B%F\x1b(B"),
        ("name=\"c\"\r\nContent-Type: text/plain; charset=\"windows-1252\"", b"\x80"),
        (r#"name="d""#, b"\xa2"),
        ("name=\"file\"; filename=\"x.bin\"\r\nContent-Type: a/b", b"\0\xff\r\n"),
        (r#"name="sets""#, br#"{"a":"iso-8859-1","b":"ISO-2022-JP","d":"cp850"}"#),
    ]);
    let inbound = Inbound { connection: "here", headers: &BTreeMap::new(), target: "POST /hooks/here", body: &body };
    assert_eq!(forms.events(&inbound).unwrap()[0].key, "2:\u{e9}3:\u{30c6}3:\u{20ac}3:\u{fffd}-5:x.bin3:a/b1:4");
    assert_eq!(forms.unmapped(&body).unwrap(), ["sets"]);
    let cut = Inbound { body: &body[..body.len() - 9], ..inbound };
    assert_eq!(forms.events(&cut).unwrap_err().to_string(), "the form is broken or cut off");
    assert_eq!(
        events(&provider(json!({"form": true, "key": ["a"]})), &[], "--b\r\n\r\n--b--").unwrap()[0].key,
        "",
        "only where it is declared"
    );
}

#[test]
fn field_names_that_strangers_choose_make_no_objects() {
    let body = "type=noted&data[id]=1&%64ata%5Bid%5D=2";
    assert_eq!(keys(&provider(json!({"form": true, "key": ["data.id"]})), body), ["1:2"]);
    assert_eq!(keys(&provider(json!({"form": true, "plain_names": true, "key": ["data.id", "'data[id]'"]})), body), ["-1:2"]);
    let json = r#"{"type":"noted","data":{"id":3}}"#;
    assert_eq!(keys(&provider(json!({"form": true, "plain_names": true, "key": ["data.id"]})), json), ["1:3"]);
}

#[test]
fn a_text_may_hold_a_document() {
    let texts = provider(
        json!({"embedded": {"head": "mail", "more": "json"}, "key": ["head.message-id", "head.references", "head.'(body)'", "more.n", "more", "big"]}),
    );
    let key = |head: &str, more: &str| {
        let body =
            json!({"type": "noted", "head": head, "more": more}).to_string().replacen('{', r#"{"big":9007199254740993.10,"#, 1);
        keys(&texts, &body).remove(0)
    };
    assert_eq!(
        key("Message-ID: <a>\r\nReferences: <b>\r\n <c>\r\n\r\nhi", r#"{"n":1.50}"#),
        "3:<a>7:<b> <c>2:hi4:1.50-19:9007199254740993.10"
    );
    assert_eq!(key(r#"[["MESSAGE-ID","<a>"]]"#, "{broken"), "3:<a>---7:{broken19:9007199254740993.10");
    assert_eq!(texts.unmapped(br#"{"type":"noted","head":"Subject: x"}"#).unwrap(), ["head.subject"]);
}

#[test]
fn a_single_use_token_is_read() {
    let once = provider(json!({"key": ["id"], "single_use_token": ["token", "proof.token"]}));
    let token = |body: &str| events(&once, &[], body).unwrap().remove(0).single_use_token;
    assert_eq!(token(r#"{"type":"noted","proof":{"token":"t"}}"#).as_deref(), Some("t"));
    assert_eq!(token(r#"{"type":"noted","token":""}"#), None);
}
