//! The token endpoint.

use sandbox::tokens::Options;
use sandbox::{HubSpot, Request, Response, Sandbox, TokenEndpoint, hubspot};
use serde_json::json;

use crate::T0;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn request(headers: &[(&str, &str)], body: &str) -> Request {
    let headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Request::new("POST", "/oauth/v1/token", &headers, body.as_bytes())
}

fn refresh(endpoint: &mut TokenEndpoint, token: &str, now_ms: i64) -> Response {
    let body =
        format!("grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-client-secret&refresh_token={token}");
    endpoint.handle(&request(&[FORM], &body), now_ms).expect("its path")
}

fn refreshed(endpoint: &mut TokenEndpoint, token: &str, now_ms: i64) -> (String, String) {
    let answer = refresh(endpoint, token, now_ms);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |name: &str| answer.value()[name].as_str().unwrap_or_default().to_owned();
    (text("access_token"), text("refresh_token"))
}

fn error(answer: &Response) -> (u16, String) {
    (answer.status, answer.value()["error"].as_str().unwrap_or_default().to_owned())
}

fn invalid(code: &str) -> (u16, String) {
    (if code == "invalid_client" { 401 } else { 400 }, code.to_owned())
}

#[test]
fn an_old_refresh_token_works_within_its_grace_and_ends_the_grant_after_it() {
    let mut endpoint = TokenEndpoint::new(Options { grace_s: 60, ..Options::default() });
    let first = endpoint.connect(T0);
    let (access, second) = refreshed(&mut endpoint, &first.refresh, T0 + 1_000);
    assert_ne!(second, first.refresh);
    let (_, third) = refreshed(&mut endpoint, &first.refresh, T0 + 61_000);
    refreshed(&mut endpoint, &second, T0 + 62_000);
    assert_eq!(endpoint.access_is_good(&access, T0 + 62_000), Some(true));
    assert_eq!(error(&refresh(&mut endpoint, &first.refresh, T0 + 61_001)), invalid("invalid_grant"));
    assert_eq!(endpoint.over(), ["reused"]);
    assert_eq!(endpoint.access_is_good(&access, T0 + 62_000), None, "its access tokens end with it");
    assert_eq!(error(&refresh(&mut endpoint, &third, T0 + 62_000)), invalid("invalid_grant"));
}

#[test]
fn a_refresh_token_that_does_not_rotate_stays() {
    let mut endpoint = TokenEndpoint::new(Options { rotates: false, tells_lifetime: false, ..Options::default() });
    let first = endpoint.connect(T0);
    let answer = refresh(&mut endpoint, &first.refresh, T0 + 86_400_000);
    assert_eq!((answer.value().get("refresh_token"), answer.value().get("expires_in")), (None, None));
    endpoint.revoke();
    assert_eq!(error(&refresh(&mut endpoint, &first.refresh, T0)), invalid("invalid_grant"));
}

#[test]
fn access_tokens_end_by_the_clock_of_the_endpoint() {
    let mut endpoint = TokenEndpoint::new(Options { lifetime_s: 60, clock_ahead_ms: 30_000, ..Options::default() });
    let pair = endpoint.connect(T0);
    assert_eq!([59_999, 60_000].map(|ms| endpoint.access_is_good(&pair.access, T0 + ms)), [Some(true), Some(false)]);
    let pair = endpoint.connect(T0);
    endpoint.expire(T0 + 1);
    assert_eq!(endpoint.access_is_good(&pair.access, T0 + 1), Some(false));
}

#[test]
fn a_client_must_prove_itself_in_the_declared_way() {
    let body = "grant_type=client_credentials";
    let proof = format!("{body}&client_id=sandbox-client&client_secret=sandbox-client-secret");
    let header = ("Authorization", "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1jbGllbnQtc2VjcmV0");
    for basic in [false, true] {
        let mut endpoint = TokenEndpoint::new(Options { basic, ..Options::default() });
        let mut status =
            |headers: &[(&str, &str)], body: &str| endpoint.handle(&request(headers, body), T0).expect("its path").status;
        assert_eq!(status(&[FORM, header], body), if basic { 200 } else { 401 });
        assert_eq!(status(&[FORM], &proof), if basic { 401 } else { 200 });
        assert_eq!(status(&[FORM, header], &proof), 401, "both ways at once");
        assert_eq!(status(&[header], body), 400, "the body is not said to be a form");
    }
    let other = Request::new("POST", "/oauth/v2/token", &[], b"");
    assert!(TokenEndpoint::new(Options::default()).handle(&other, T0).is_none());
}

#[test]
fn an_account_accepts_the_tokens_of_its_endpoint() {
    let mut hubspot = HubSpot::new(hubspot::Options { endpoint: Some(Options::default()), ..hubspot::Options::default() });
    let pair = hubspot.endpoint().expect("it has one").connect(T0);
    let read = |hubspot: &mut HubSpot, token: &str, now_ms: i64| {
        let headers =
            [("Authorization".to_owned(), format!("Bearer {token}")), ("Content-Type".to_owned(), "application/json".to_owned())];
        let body = json!({ "properties": ["email"], "inputs": [] }).to_string();
        hubspot.handle(&Request::new("POST", "/crm/v3/objects/contacts/batch/read", &headers, body.as_bytes()), now_ms).status
    };
    assert_ne!(read(&mut hubspot, &pair.access, T0), 401);
    assert_eq!(read(&mut hubspot, "sandbox-access-99", T0), 401);
    assert_eq!(read(&mut hubspot, &pair.access, T0 + 1_800_000), 401);
    let saved = hubspot.save();
    hubspot.reset();
    assert_eq!(read(&mut hubspot, &pair.access, T0), 401, "a new account");
    hubspot.restore(&saved).expect("what it saved");
    assert_ne!(read(&mut hubspot, &pair.access, T0), 401);
}
