//! Function URLs: HTTP in, an event of payload format 2.0, and the function's answer as HTTP out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::ids::uuid;
use crate::lambda::Host;

/// The largest request and response of a function URL.
const MAX_BODY: usize = 6 * 1024 * 1024;

#[derive(Clone)]
struct Front {
    host: Arc<Host>,
    function: String,
}

/// A router that turns every request into an invocation of `function`.
pub(crate) fn router(host: Arc<Host>, function: String) -> Router {
    Router::new().fallback(handle).with_state(Front { host, function })
}

async fn handle(State(front): State<Front>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => body,
        Err(_) => return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long"),
    };
    let call = Call { method: parts.method.as_str(), uri: &parts.uri, headers: &parts.headers, peer, body };
    let event = event(&call, &uuid());
    match front.host.invoke(&front.function, event.to_string().into()).await {
        Ok(payload) => answer(&payload).unwrap_or_else(|| message(StatusCode::BAD_GATEWAY, "Internal Server Error")),
        Err(_) => message(StatusCode::BAD_GATEWAY, "Internal Server Error"),
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "Message": text }))).into_response()
}

/// One HTTP request, read completely.
struct Call<'a> {
    method: &'a str,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    peer: SocketAddr,
    body: Bytes,
}

fn event(call: &Call<'_>, request_id: &str) -> Value {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in call.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if name.as_str() == "cookie" {
            cookies.extend(value.split(';').map(|c| c.trim().to_owned()));
            continue;
        }
        let joined = headers.entry(name.as_str().to_owned()).or_default();
        if joined.is_empty() {
            *joined = value;
        } else {
            *joined = format!("{joined},{value}");
        }
    }
    let source_ip = call.peer.ip().to_string();
    let domain = headers.get("host").cloned().unwrap_or_default();
    let user_agent = headers.get("user-agent").cloned().unwrap_or_default();
    headers.insert("x-forwarded-for".into(), source_ip.clone());
    headers.entry("x-forwarded-proto".into()).or_insert_with(|| "http".into());
    headers.entry("x-forwarded-port".into()).or_insert_with(|| domain.rsplit_once(':').map_or("80", |(_, port)| port).to_owned());
    let now = jiff::Timestamp::now();
    let base64 = is_base64(call.headers, &call.body);
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": call.uri.path(),
        "rawQueryString": call.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "http": {
                "method": call.method, "path": call.uri.path(), "protocol": "HTTP/1.1", "sourceIp": source_ip, "userAgent": user_agent,
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": base64,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(query) = call.uri.query().filter(|q| !q.is_empty()) {
        event["queryStringParameters"] = parameters(query).into();
    }
    if !call.body.is_empty() {
        event["body"] = if base64 { STANDARD.encode(&call.body).into() } else { String::from_utf8_lossy(&call.body).into() };
    }
    event
}

/// A body is carried as text when its type says text and it is; otherwise as base64.
fn is_base64(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
        || essence.ends_with("+json")
        || essence.ends_with("+xml");
    let carried_as_text = body.is_empty() || (text && std::str::from_utf8(body).is_ok());
    !carried_as_text
}

/// Query parameters, decoded; values of one name are joined by commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        all.entry(name).and_modify(|known| *known = format!("{known},{value}")).or_insert(value);
    }
    all.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// The function's answer as HTTP. A JSON object with `statusCode` describes the response; any other JSON is the body.
fn answer(payload: &[u8]) -> Option<Response> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let Some(status) = value["statusCode"].as_u64() else {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return Some(([("content-type", "application/json")], text).into_response());
    };
    let mut response = Response::builder().status(u16::try_from(status).ok()?);
    let mut has_type = false;
    for (name, value) in value["headers"].as_object().into_iter().flatten() {
        has_type |= name.eq_ignore_ascii_case("content-type");
        // The server counts the body itself.
        if !name.eq_ignore_ascii_case("content-length") {
            response = response.header(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    for cookie in value["cookies"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        response = response.header("set-cookie", cookie);
    }
    if !has_type {
        response = response.header("content-type", "application/json");
    }
    let text = value["body"].as_str().unwrap_or_default();
    let body = if value["isBase64Encoded"] == true { STANDARD.decode(text).ok()? } else { text.as_bytes().to_vec() };
    if body.len() > MAX_BODY {
        return None;
    }
    response.body(Body::from(body)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(uri: &'a Uri, headers: &'a HeaderMap, body: &'static [u8]) -> Value {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5000));
        event(&Call { method: "POST", uri, headers, peer, body: Bytes::from_static(body) }, "r1")
    }

    #[test]
    fn doubled_headers_and_parameters_are_joined_by_commas() {
        let uri: Uri = "/hooks/form%20x?a=1&b=%C3%A4+z&a=2".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1:9000".parse().unwrap());
        headers.append("X-Signature", "one".parse().unwrap());
        headers.append("x-signature", "two".parse().unwrap());
        headers.append("cookie", "a=b; c=d".parse().unwrap());
        let event = call(&uri, &headers, b"");
        assert_eq!(event["rawPath"], "/hooks/form%20x");
        assert_eq!(event["rawQueryString"], "a=1&b=%C3%A4+z&a=2");
        assert_eq!(event["headers"]["x-signature"], "one,two");
        assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": "ä z" }));
        assert_eq!(event["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(event["requestContext"]["domainName"], "127.0.0.1:9000");
        assert_eq!(event["isBase64Encoded"], false);
        assert_eq!(event.get("body"), None);
    }

    #[test]
    fn only_text_types_with_valid_text_are_carried_as_text() {
        let uri: Uri = "/".parse().unwrap();
        for (kind, body, base64) in [
            ("application/json; charset=utf-8", b"{}".as_slice(), false),
            ("application/cloudevents+json", b"{}", false),
            ("application/json", b"\xff\xfe", true),
            ("application/x-www-form-urlencoded", b"a=b", true),
            ("application/octet-stream", b"abc", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", kind.parse().unwrap());
            let event = call(&uri, &headers, body);
            assert_eq!(event["isBase64Encoded"], base64, "{kind}");
            let expected = if base64 { STANDARD.encode(body) } else { String::from_utf8(body.to_vec()).unwrap() };
            assert_eq!(event["body"], expected, "{kind}");
        }
    }
}
