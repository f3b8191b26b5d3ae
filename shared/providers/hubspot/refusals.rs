//! What HubSpot's refusals mean: its errors of rows and of calls, judged by declared evidence.

use serde_json::Value;

use super::list;
use crate::api::{CallFailure, FailureKind, Fault, RowFailure, Scope, Target, text};
use crate::http::HttpResponse;
use crate::names::plain_code;
use crate::refusal::{Evidence, Refusal, judge};

/// What HubSpot's categories, codes and statuses mean.
const EVIDENCE: &[Evidence] = &[
    Evidence::code("RATE_LIMITS", FailureKind::Throttled { after_ms: 10_000 }),
    // The account is being moved to another data centre.
    Evidence::status(477, FailureKind::Throttled { after_ms: 60_000 }),
    Evidence::code("MISSING_SCOPES", FailureKind::Denied).about(Scope::ObjectType),
    Evidence::code("VALIDATION_ERROR", FailureKind::Denied).with_words("Invalid idProperty").about(Scope::ObjectType),
    Evidence::code("INVALID_AUTHENTICATION", FailureKind::Auth),
    Evidence::code("EXPIRED_AUTHENTICATION", FailureKind::Auth),
    Evidence::code("LOCKED", FailureKind::Locked),
    Evidence::code("RECORD_LOCKED", FailureKind::Locked),
    Evidence::code("INTERNAL_ERROR", FailureKind::Transient),
    Evidence::code("SERVER_ERROR", FailureKind::Transient),
    Evidence::code("TIMEOUT", FailureKind::Transient),
    Evidence::code("OBJECT_NOT_FOUND", FailureKind::NotFound),
    Evidence::code("NOT_FOUND", FailureKind::NotFound),
    // The first code is about e-mail addresses, the second one about other unique properties.
    Evidence::code("CONFLICT", FailureKind::DuplicateKey),
    Evidence::code("CONFLICTING_UNIQUE_VALUE", FailureKind::DuplicateKey),
    Evidence::code("PROPERTY_DOESNT_EXIST", FailureKind::Rejected).about(Scope::Property),
    Evidence::code("READ_ONLY_VALUE", FailureKind::Rejected).about(Scope::Property),
];

/// An error of one row.
pub(super) fn row_failure(error: &Value) -> RowFailure {
    judge(EVIDENCE, refusal_of(error), None)
}

/// What an error says. HubSpot's messages quote values, so only codes, names and object ids are kept.
fn refusal_of(error: &Value) -> Refusal<'_> {
    let message = text(error, "message").unwrap_or_default();
    let faults = property_faults(error, message);
    let category = text(error, "category").and_then(plain_code);
    let inner = list(error, "errors").iter().filter_map(|e| text(e, "code").and_then(plain_code));
    let mut codes: Vec<String> = faults.iter().map(|fault| fault.code.clone()).chain(inner).chain(category).collect();
    codes.retain(|code| !code.is_empty());
    Refusal { codes, message, faults, objects: existing_ids(message), needs: missing_scopes(error), rule: None }
}

/// The properties at fault: from `errors[]`, or else from the list that the message quotes.
fn property_faults(error: &Value, message: &str) -> Vec<Fault> {
    let quoted =
        message.find('[').and_then(|at| serde_json::Deserializer::from_str(&message[at..]).into_iter::<Value>().next()?.ok());
    let listed = list(error, "errors");
    let quoted = quoted.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fault = |e: &Value| {
        let name = e.pointer("/context/propertyName/0").and_then(Value::as_str).or_else(|| text(e, "name")).and_then(plain_code)?;
        let code = text(e, "code").or_else(|| text(e, "error")).and_then(plain_code).unwrap_or_default();
        Some(Fault::new(name, code))
    };
    let faults: Vec<Fault> = listed.iter().filter_map(fault).collect();
    if faults.is_empty() { quoted.iter().filter_map(fault).collect() } else { faults }
}

/// The ids of the objects that hold a unique value: `Existing ID: 771`, `771 already has that value`.
fn existing_ids(message: &str) -> Vec<String> {
    let before = |text: &str| {
        let digits = text.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.to_owned()
    };
    let after = |text: &str| text.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>();
    let named = message.split("Existing ID:").skip(1).map(after);
    let mut parts: Vec<&str> = message.split(" already has that value").collect();
    parts.pop();
    let mut ids: Vec<String> = named.chain(parts.into_iter().map(before)).filter(|id| !id.is_empty()).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// The scopes that a call needs and the token lacks.
fn missing_scopes(error: &Value) -> Vec<String> {
    let contexts = || list(error, "errors").iter().chain([error]).filter_map(|e| e.get("context"));
    let scopes = ["requiredGranularScopes", "requiredScopes"].into_iter().flat_map(|name| contexts().map(move |c| list(c, name)));
    scopes.flatten().filter_map(Value::as_str).filter_map(plain_code).collect()
}

/// The failure of a whole call.
pub(super) fn call_failure(target: &Target, response: &HttpResponse) -> CallFailure {
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let mut failure = judge(EVIDENCE, refusal_of(&body), Some(response));
    match &mut failure.kind {
        FailureKind::Throttled { after_ms } => {
            let wait = response.retry_after_ms();
            *after_ms = wait.unwrap_or_else(|| if response.status == 429 { policy_wait(&body, response) } else { *after_ms });
        }
        // A call names a type, not an object.
        kind @ FailureKind::NotFound => *kind = FailureKind::Rejected,
        _ => {}
    }
    failure.about_id_property(&target.id_property)
}

fn policy_wait(body: &Value, response: &HttpResponse) -> u64 {
    let interval = response.header("x-hubspot-ratelimit-interval-milliseconds").and_then(|v| v.trim().parse().ok());
    match text(body, "policyName") {
        Some("DAILY") => 15 * 60_000,
        Some("SECONDLY") => 1_000,
        _ => interval.unwrap_or(10_000),
    }
}
