//! Declarations, handshakes, and what senders sign.

use webhook::{
    Draft, HandshakeAction, Headers, Rejection, Scheme, SignError, Suspicion, Webhook, answer_signed, answer_unsigned,
    certificate_url, diagnose, sign, verify,
};

use crate::support::{NOW_MS, WEBHOOKS, request, webhook};

const URL: &str = "https://hub.example/hooks/x?a=%3A%20b";
const TEXT: &str = "a secret of some length";
const WHSEC: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

#[test]
fn every_declaration_is_sound_and_survives_json() {
    for (name, webhook) in WEBHOOKS.iter() {
        assert_eq!(webhook.check(), Ok(()), "{name}");
        let json = serde_json::to_string(webhook).expect("JSON");
        assert_eq!(&serde_json::from_str::<Webhook>(&json).expect("the same"), webhook, "{name}");
    }
}

#[test]
fn unsound_declarations_are_refused() {
    let text = include_str!("schemes.toml");
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let all = toml::from_str::<std::collections::BTreeMap<String, Webhook>>(&text.replace(from, to));
        all.map_or(true, |all| all.values().any(|webhook| webhook.check().is_err()))
    };
    for (from, to) in [
        (r#"header = ["x-timestamp"]"#, r#"header = ["X-Timestamp"]"#),
        ("{timestamp}.{body}", "{body}"),
        ("{timestamp}.{body}", "{timestamp}.{bodies}"),
        ("{secret}{body}", "{body}"),
        (r#"label = "v1", "#, ""),
        (r#""webhook-id", "other-id""#, r#""webhook-id""#),
        (r#"accept = ["v3"]"#, r#"accept = ["v4"]"#),
        (r#"certificate_names = ["sns.amazonaws.com"]"#, "certificate_names = []"),
        ("tolerance_s = 300", "tolerance = 300"),
        (r#"proofs = [{ algorithm = "hmac-sha1" }]"#, "proofs = []"),
        (r#"kind = "probe", "#, r#"kind = "prob", "#),
    ] {
        assert!(broken(from, to), "{from} -> {to}");
    }
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    for (name, webhook) in WEBHOOKS.iter() {
        let secret = match name.as_str() {
            "list" => WHSEC,
            "basic" => "ann:secret",
            _ => TEXT,
        };
        let draft = Draft { method: "POST", url: URL, body: b"a=1&b=2", at_ms: NOW_MS, id: "msg_1" };
        let signed = match sign(&webhook.scheme, &draft, secret) {
            Ok(signed) => signed,
            Err(error) => {
                let elsewhere = ["ecdsa", "in-body", "in-body-repeated", "sns", "token-body", "token-each", "token-xml"];
                assert!(elsewhere.contains(&name.as_str()), "{name}: {error}");
                continue;
            }
        };
        assert_eq!(signed.body, draft.body, "{name}");
        let headers: Headers = signed.headers.into_iter().collect();
        let good = verify(&webhook.scheme, request("POST", URL, &headers, draft.body), &["other:secret", secret], NOW_MS);
        assert_eq!(good.map(|verified| verified.evidence().secret), Ok(1), "{name}");
        let forged = verify(&webhook.scheme, request("POST", URL, &headers, draft.body), &["other:secret"], NOW_MS);
        assert!(forged.is_err(), "{name}");
        let in_the_clear = name == "versions-in-the-clear" || matches!(webhook.scheme, Scheme::Basic(_) | Scheme::Shared(_));
        let covers_body = !in_the_clear;
        for at in 0..draft.body.len() {
            let mut body = draft.body.to_vec();
            body[at] ^= 1;
            let tampered = verify(&webhook.scheme, request("POST", URL, &headers, &body), &[secret], NOW_MS);
            assert_eq!(tampered.is_err(), covers_body, "{name}, byte {at}");
        }
    }
}

#[test]
fn an_asymmetric_sender_needs_its_private_key() {
    let scheme = &webhook("list").scheme;
    let draft = Draft { method: "POST", url: URL, body: b"{}", at_ms: NOW_MS, id: "msg_1" };
    // RFC 8032, section 7.1, test 1.
    let private = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let headers: Headers = sign(scheme, &draft, private).expect("signed").headers.into_iter().collect();
    let verified = verify(scheme, request("POST", URL, &headers, b"{}"), &[WHSEC, public], NOW_MS).expect("verified");
    assert_eq!((verified.evidence().version.as_deref(), verified.evidence().secret), (Some("v1a"), 1));
    assert_eq!(sign(scheme, &draft, public), Err(SignError::UnusableSecret));
}

#[test]
fn evidence_names_version_and_sender_time() {
    let webhook = webhook("versions");
    let draft = Draft { method: "POST", url: URL, body: b"[]", at_ms: NOW_MS - 7, id: "" };
    let weak = webhook.scheme.clone().with_versions(vec!["v1".into()]);
    let headers: Headers = sign(&weak, &draft, TEXT).expect("signed").headers.into_iter().collect();
    let refused = verify(&webhook.scheme, request("POST", URL, &headers, b"[]"), &[TEXT], NOW_MS);
    assert_eq!(refused.map(|_| ()), Err(Rejection::VersionNotAccepted("v1".into())));
    let verified = verify(&weak, request("POST", URL, &headers, b"[]"), &[TEXT], NOW_MS).expect("accepted where configured");
    assert_eq!(verified.evidence().version.as_deref(), Some("v1"));

    let headers: Headers = sign(&webhook.scheme, &draft, TEXT).expect("signed").headers.into_iter().collect();
    let verified = verify(&webhook.scheme, request("POST", URL, &headers, b"[]"), &[TEXT], NOW_MS).expect("verified");
    assert_eq!(verified.evidence().signed_at_ms, Some(NOW_MS - 7));
    assert_eq!(verified.evidence().version.as_deref(), Some("v3"));
}

#[test]
fn only_unsigned_handshakes_are_answered_before_verification() {
    let headers = Headers::new();
    let challenge = br#"{"type":"url_check","challenge":"x"}"#;
    assert_eq!(answer_unsigned(webhook("prefixed"), &request("POST", URL, &headers, challenge)), None);
    assert_eq!(answer_unsigned(webhook("plain"), &request("POST", URL, &headers, br#"{"events":[]}"#)), None);
    assert_eq!(answer_unsigned(webhook("sha1-hex"), &request("POST", URL, &headers, b"")), None);
    assert_eq!(answer_unsigned(webhook("sha1-hex"), &request("GET", URL, &headers, b"")).map(|a| a.status), Some(200));

    let echo = |query: &str| {
        answer_unsigned(webhook("token-each"), &request("POST", &format!("https://h.example/x?{query}"), &headers, b""))
    };
    assert_eq!(echo("validationToken=%61").map(|a| a.body), Some(b"a".to_vec()));
    for silent in ["validationToken=", "validationToken=%FF", "token=x", &format!("validationToken={}", "x".repeat(5000))] {
        assert_eq!(echo(silent), None, "{}", silent.len());
    }
}

#[test]
fn a_subscription_of_a_configured_topic_waits_for_its_confirmation() {
    let line = include_str!("known.jsonl").lines().find(|l| l.contains("\"sns-subscription\"")).expect("the vector");
    let vector: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let body = vector["body"].as_str().expect("a body").as_bytes();
    let pem = vector["certificate_pem"].as_str().expect("a certificate");
    let topic = "arn:aws:sns:eu-west-1:123456789012:mail";
    let webhook = webhook("sns");
    let headers = Headers::new();
    let anyone = verify(&webhook.scheme, request("POST", URL, &headers, body), &[pem], NOW_MS);
    assert_eq!(anyone.map(|_| ()), Err(Rejection::TopicNotConfigured));

    let scheme = webhook.scheme.clone().with_topics(vec![topic.into()]);
    let verified = verify(&scheme, request("POST", URL, &headers, body), &[pem], NOW_MS).expect("verified");
    let Some(HandshakeAction::Confirm(confirmation)) = answer_signed(webhook, &verified) else { panic!("a confirmation") };
    assert_eq!((confirmation.topic.as_str(), confirmation.token.as_str()), (topic, "tok"));
    assert!(confirmation.url.starts_with("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"));
    let (Scheme::Sns(anyone), Scheme::Sns(ours)) = (&webhook.scheme, &scheme) else { panic!("SNS") };
    assert_eq!(certificate_url(anyone, body), Err(Rejection::TopicNotConfigured));
    assert_eq!(certificate_url(ours, body), Ok("https://sns.eu-west-1.amazonaws.com/Simple-1.pem".into()));
    assert_eq!(ours.hosts(), ["sns.eu-west-1.amazonaws.com"]);
}

#[test]
fn nothing_secret_is_printed() {
    let headers: Headers = [("x-token", TEXT)].into_iter().collect();
    let raw = request("POST", "https://hub.example/?code=s3cret", &headers, b"jane@example.com");
    let verified = verify(&webhook("token-header").scheme, raw, &[TEXT], NOW_MS).expect("verified");
    let printed = format!("{raw:?} {verified:?}");
    for secret in [TEXT, "s3cret", "jane"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn an_operator_learns_which_single_change_would_help() {
    let versions = &webhook("versions").scheme;
    let body = b"[1]\r\n";
    let draft = Draft { method: "POST", url: "https://hub.example/a?b=1", body, at_ms: NOW_MS, id: "" };
    let headers: Headers = sign(versions, &draft, TEXT).expect("signed").headers.into_iter().collect();
    let suspected =
        |method, url, body, secret: &str| diagnose(versions, request(method, url, &headers, body), &["wrong", secret], NOW_MS);
    let spaced = format!("{TEXT}\n");
    assert_eq!(suspected("POST", draft.url, b"[1]", TEXT), [Suspicion::LineEnd]);
    assert_eq!(suspected("POST", "http://hub.example/a?b=1", body, TEXT), [Suspicion::UrlScheme]);
    assert_eq!(suspected("POST", "https://hub.example:8443/a?b=1", body, TEXT), [Suspicion::UrlPort]);
    assert_eq!(suspected("POST", "https://hub.example/a/?b=1", body, TEXT), [Suspicion::UrlSlash]);
    assert_eq!(suspected("PUT", draft.url, body, TEXT), [Suspicion::Method]);
    assert_eq!(suspected("POST", draft.url, body, &spaced), [Suspicion::SecretSpaces]);
    assert_eq!(suspected("POST", draft.url, b"[2]\r\n", TEXT), []);
    assert_eq!(suspected("POST", draft.url, body, "another"), []);

    let list = &webhook("list").scheme;
    let draft = Draft { id: "msg_1", ..draft };
    let headers: Headers = sign(list, &draft, "whsec_cGxhaW4gdGV4dCBzZWNyZXQ=").expect("signed").headers.into_iter().collect();
    let raw = request("POST", draft.url, &headers, body);
    assert_eq!(diagnose(list, raw, &["plain text secret"], NOW_MS), [Suspicion::SecretForm]);
}

#[test]
fn a_version_without_a_condition_takes_what_no_other_claims() {
    let scheme = &webhook("versions-in-the-clear").scheme;
    let version = |scheme: &Scheme, headers: &Headers, body: &[u8]| {
        verify(scheme, request("POST", URL, headers, body), &[TEXT], NOW_MS)
            .map(|v| v.evidence().version.clone().unwrap_or_default())
    };
    let key = |value: &str| [("x-key", value)].into_iter().collect::<Headers>();
    let token = format!(r#"{{"token":"{TEXT}"}}"#);
    assert_eq!(version(scheme, &key(TEXT), b"").as_deref(), Ok("key"));
    assert_eq!(version(scheme, &Headers::default(), token.as_bytes()).as_deref(), Ok("token"));
    assert_eq!(version(scheme, &key("wrong"), token.as_bytes()), Err(Rejection::Mismatch), "a weaker proof is not accepted");
    let only_key = scheme.clone().with_versions(vec!["key".into()]);
    assert_eq!(version(&only_key, &Headers::default(), token.as_bytes()), Err(Rejection::VersionNotAccepted("token".into())));
}

/// The sender's key and the certificate of what SNS is in tests: RSA of 2048 bits, issued to `sns.amazonaws.com`.
const SNS_KEY: &str = include_str!("sns_key.txt");
const SNS_CERTIFICATE: &str = include_str!("sns_certificate.pem");

#[test]
fn a_proof_may_stand_in_the_body() {
    let (private, public) = webhook::ecdsa_pair().expect("randomness");
    let sns = r#"{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:mail","Message":"m",
        "Timestamp":"2026-01-01T00:00:00Z","SignatureVersion":"1","SigningCertURL":"https://sns.us-east-1.amazonaws.com/a.pem"}"#;
    let xml = "<e:Envelope><e:Body><notifications><OrganizationId>00D</OrganizationId></notifications></e:Body></e:Envelope>";
    let org = "00D000000000062EAA";
    for (name, body, private, public) in [
        ("in-body", r#"{"signature":{"token":"t"},"event-data":{}}"#, TEXT, TEXT),
        ("token-body", r#"{"key":"","lead":1}"#, TEXT, TEXT),
        ("token-each", r#"{"value":[{"id":1},{"id":2}]}"#, TEXT, TEXT),
        ("token-xml", xml, org, org),
        ("ecdsa", "a=1", private.as_str(), public.as_str()),
        ("sns", sns, SNS_KEY.trim(), SNS_CERTIFICATE),
    ] {
        let scheme = webhook(name).scheme.clone().with_topics(vec!["arn:aws:sns:us-east-1:123456789012:mail".into()]);
        let draft = Draft { method: "POST", url: URL, body: body.as_bytes(), at_ms: NOW_MS, id: "msg_1" };
        let signed = sign(&scheme, &draft, private).unwrap_or_else(|e| panic!("{name}: {e}"));
        let headers: Headers = signed.headers.into_iter().collect();
        let verified = verify(&scheme, request("POST", URL, &headers, &signed.body), &[public], NOW_MS);
        assert!(verified.is_ok(), "{name}: {}", verified.unwrap_err());
        let unsigned = verify(&scheme, request("POST", URL, &headers, draft.body), &[public], NOW_MS);
        assert_eq!(unsigned.is_err(), name != "ecdsa", "{name}");
    }
}
