//! The stand-ins at their boundary.

mod control;
mod hubspot;
mod round_trip;
mod salesforce;
#[cfg(feature = "server")]
mod server;
mod shapes;
mod tokens;

use sandbox::{Request, Response, Sandbox};
use serde_json::{Map, Value};

/// 2026-01-01T00:00:00Z
pub const T0: i64 = 1_767_225_600_000;

/// An object's members.
pub fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Calls a stand-in with its first token; a null body is none.
pub fn call(sandbox: &mut dyn Sandbox, method: &str, path: &str, body: Value, now_ms: i64) -> Response {
    let token = if sandbox.name() == "hubspot" { "sandbox-token" } else { "sandbox-session" };
    let headers = [("Authorization".to_owned(), format!("Bearer {token}"))];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    sandbox.handle(&Request::new(method, path, &headers, &body), now_ms)
}
