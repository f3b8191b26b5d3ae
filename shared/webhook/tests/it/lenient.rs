//! What is unusual and still right.

use webhook::vectors::{self, Declared};
use webhook::{Draft, Headers, Rejection, sign, verify};

use crate::support::{NOW_MS, declared, request, webhook};

const SECRET: &str = "correct horse battery staple";

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().copied().collect()
}

#[test]
fn items_of_one_body_may_show_the_secrets_of_before_and_after_a_rotation() {
    let scheme = &webhook("token-each").scheme;
    let none = Headers::new();
    let tried = |body: &str, secrets: &[&str]| {
        verify(scheme, request("POST", "https://h.example/", &none, body.as_bytes()), secrets, NOW_MS).map(|_| ())
    };
    let mixed = r#"{"value":[{"clientState":"old"},{"clientState":"new"}]}"#;
    assert_eq!(tried(mixed, &["new", "old"]), Ok(()));
    assert_eq!(tried(mixed, &["new"]), Err(Rejection::Mismatch));
    assert_eq!(tried(r#"{"value":[{"clientState":"new"},{"clientState":"forged"}]}"#, &["new", "old"]), Err(Rejection::Mismatch));
}

#[test]
fn spaces_may_follow_the_scheme_of_basic_credentials() {
    let scheme = &webhook("basic").scheme;
    for (value, good) in
        [("Basic dTpw", true), ("basic   dTpw", true), ("Basic dTpx", false), ("Basic dT pw", false), ("BasicdTpw", false)]
    {
        let given = headers(&[("authorization", value)]);
        let ok = verify(scheme, request("POST", "https://h.example/", &given, b""), &["u:p"], NOW_MS).is_ok();
        assert_eq!(ok, good, "{value}");
    }
}

/// Versions of `names`, all by one secret.
fn proven(names: &[&str]) -> Headers {
    let mut all = Headers::new();
    for name in names {
        let scheme = webhook("versions").scheme.clone().with_versions(vec![(*name).to_owned()]);
        let draft = Draft { method: "POST", url: "https://h.example/x", body: b"{}", at_ms: NOW_MS, id: "1" };
        for (name, value) in sign(&scheme, &draft, SECRET).unwrap().headers {
            all.append(&name, value);
        }
    }
    all
}

#[test]
fn an_older_proof_counts_beside_a_newer_one_only_where_the_newer_is_not_accepted() {
    let tried = |accept: &[&str], given: &Headers| {
        let scheme = webhook("versions").scheme.clone().with_versions(accept.iter().map(|name| (*name).to_owned()).collect());
        verify(&scheme, request("POST", "https://h.example/x", given, b"{}"), &[SECRET], NOW_MS).map(|_| ())
    };
    let both = proven(&["v1", "v3"]);
    assert_eq!(tried(&["v1"], &both), Ok(()));
    assert_eq!(tried(&["v3"], &both), Ok(()));
    assert_eq!(tried(&["v2"], &both), Err(Rejection::VersionNotAccepted("v3".into())));
    let mut forged = proven(&["v1"]);
    forged.append("x-signature-v3", "AAAA".to_owned());
    forged.append("x-timestamp", NOW_MS.to_string());
    assert!(tried(&["v3", "v1"], &forged).is_err(), "a weaker proof is not accepted");
    assert_eq!(tried(&["v1"], &forged), Ok(()));
}

#[test]
fn a_pair_is_named_exactly() {
    let scheme = &webhook("pairs").scheme;
    let draft = Draft { method: "POST", url: "https://h.example/", body: b"{}", at_ms: NOW_MS, id: "1" };
    let proven = sign(scheme, &draft, SECRET).unwrap();
    let (name, value) = &proven.headers[0];
    let tried = |value: &str| {
        let given = headers(&[(name.as_str(), value)]);
        verify(scheme, request("POST", "https://h.example/", &given, b"{}"), &[SECRET], NOW_MS).is_ok()
    };
    assert!(tried(value));
    assert!(!tried(&value.replace(',', ", ")));
}

#[test]
fn a_parameter_without_a_value_is_signed_with_or_without_its_sign() {
    let scheme = &webhook("url-form").scheme;
    for signed in ["https://h.example/x?a=&b=1", "https://h.example/x?a&b=1"] {
        let draft = Draft { method: "POST", url: signed, body: b"", at_ms: NOW_MS, id: "1" };
        let given: Headers =
            sign(scheme, &draft, SECRET).unwrap().headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert!(verify(scheme, request("POST", "https://h.example/x?a&b=1", &given, b""), &[SECRET], NOW_MS).is_ok(), "{signed}");
    }
}

#[test]
fn a_public_key_may_be_pem() {
    let scheme = &webhook("ecdsa").scheme;
    let (private, public) = webhook::ecdsa_pair().unwrap();
    let draft = Draft { method: "POST", url: "https://h.example/", body: b"{}", at_ms: NOW_MS, id: "1" };
    let given: Headers = sign(scheme, &draft, &private).unwrap().headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let tried = |key: &str| verify(scheme, request("POST", "https://h.example/", &given, b"{}"), &[key], NOW_MS).is_ok();
    assert!(tried(&public));
    assert!(tried(&format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n")));
    assert!(!tried("-----BEGIN PUBLIC KEY-----"));
}

#[test]
fn vectors_are_compared_with_the_declared_answer() {
    let agrees = |line: &str, accepted: webhook::HttpReply| {
        let find =
            |provider: &str, _: &str, _: &Headers| declared(provider).map(|one| Declared { accepted: accepted.clone(), ..one });
        vectors::run(line, &find, NOW_MS).expect("a vector").agrees()
    };
    let line = r#"{"id":1,"provider":"token-header","kind":"k","valid":true,"secret":"s","headers":{"x-token":"s"},"body":"{}","expect_status":200,"expect_body":""}"#.replace("\"id\":1", "\"id\":\"x\"");
    let empty = webhook::HttpReply { status: 202, content_type: None, body: Vec::new() };
    assert!(agrees(&line, empty.clone()));
    assert!(!agrees(&line, webhook::HttpReply { body: b"ok".to_vec(), ..empty.clone() }));
    assert!(!agrees(&line, webhook::HttpReply { status: 500, ..empty.clone() }));
    let xml = line.replace("\"expect_body\":\"\"", "\"expect_content_type\":\"text/xml\"");
    assert!(agrees(&xml, webhook::HttpReply { content_type: Some("text/xml; charset=utf-8"), ..empty.clone() }));
    assert!(!agrees(&xml, empty));
    let form = r#"{"id":"f","provider":"token-header","kind":"k","valid":true,"secret":"s","headers":{"x-token":["s"]},"body":"","params":{"n":1,"many":["a","b"]}}"#;
    assert!(agrees(form, webhook::HttpReply { status: 200, content_type: None, body: Vec::new() }));
}

/// A body that proves itself by these secrets: in the declared member, and in the second one.
fn body_proven_by(first: &str, second: &str) -> serde_json::Value {
    let scheme = &webhook("in-body-repeated").scheme;
    let draft = |body| Draft { method: "POST", url: "https://h.example/", body, at_ms: NOW_MS, id: "" };
    let signed = |secret| -> serde_json::Value {
        let body = sign(scheme, &draft(br#"{"signature":{"token":"t1"},"note":"x"}"#), secret).unwrap().body;
        serde_json::from_slice(&body).unwrap()
    };
    let mut body = signed(first);
    body["signature"]["second"] = signed(second)["signature"]["signature"].clone();
    body
}

fn tried_in_body(body: &str, secret: &str, at_ms: i64) -> Result<(), Rejection> {
    let none = Headers::new();
    verify(&webhook("in-body-repeated").scheme, request("POST", "https://h.example/", &none, body.as_bytes()), &[secret], at_ms)
        .map(|_| ())
}

#[test]
fn a_second_signature_proves_as_well() {
    let body = body_proven_by("own", "parent").to_string();
    assert_eq!(tried_in_body(&body, "own", NOW_MS), Ok(()));
    assert_eq!(tried_in_body(&body, "parent", NOW_MS), Ok(()));
    assert_eq!(tried_in_body(&body, "stranger", NOW_MS), Err(Rejection::Mismatch));
}

#[test]
fn a_sender_may_repeat_its_first_timestamp_for_as_long_as_it_tries_again() {
    let body = body_proven_by("own", "own").to_string();
    for (after_s, verdict) in
        [(3_900, Ok(())), (3_901, Err(Rejection::Stale(3_901))), (-300, Ok(())), (-301, Err(Rejection::Future(301)))]
    {
        assert_eq!(tried_in_body(&body, "own", NOW_MS + after_s * 1000), verdict, "{after_s}");
    }
}

#[test]
fn half_a_character_in_a_body_hides_no_proof() {
    let body = body_proven_by("own", "own").to_string();
    for note in [r#""note":"great \ud83d""#, r#""note":"\udc00\ud83d\ude00""#, r#""no\ud83dte":"x""#] {
        let cut = body.replace(r#""note":"x""#, note);
        assert_ne!(cut, body);
        assert_eq!(tried_in_body(&cut, "own", NOW_MS), Ok(()), "{note}");
    }
    let none = Headers::new();
    let shared = r#"{"key":"own","lead":"\ud83d"}"#;
    let key = webhook("token-body").scheme.clone();
    assert!(verify(&key, request("POST", "https://h.example/", &none, shared.as_bytes()), &["own"], NOW_MS).is_ok());
}
