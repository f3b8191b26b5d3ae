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
    assert!(tried(&["v3", "v1"], &forged).is_err(), "nobody falls back to a weaker proof");
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
