//! The one endpoint of all services: looks at the target header and the path, and hands the request on.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::dynamodb::Tables;
use crate::events::Bus;
use crate::ids::uuid;
use crate::lambda::{Host, InvokeError};
use crate::s3::Buckets;
use crate::secrets::Secrets;
use crate::sqs::Queues;

/// What the endpoint reaches.
#[derive(Clone)]
pub(crate) struct Services {
    pub base: String,
    pub tables: Arc<Tables>,
    pub queues: Arc<Queues>,
    pub secrets: Arc<Secrets>,
    pub buckets: Arc<Buckets>,
    pub host: Arc<Host>,
    pub bus: Arc<Bus>,
}

/// The endpoint's router.
pub(crate) fn router(services: Services) -> Router {
    Router::new().fallback(handle).layer(DefaultBodyLimit::disable()).with_state(services)
}

async fn handle(State(services): State<Services>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 * 1024 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let target = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok());
    if let Some((service, operation)) = target.and_then(|t| t.split_once('.')) {
        return service_call(&services, service, operation, &parts.headers, body).await;
    }
    let path = parts.uri.path();
    if let Some(name) = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations")) {
        let name = percent_decode_str(name).decode_utf8_lossy();
        return invoke(&services.host, &name, &parts.headers, body).await;
    }
    services.buckets.handle(&parts.method, path, parts.uri.query().unwrap_or_default(), &parts.headers, &body)
}

async fn service_call(services: &Services, service: &str, operation: &str, headers: &HeaderMap, body: Bytes) -> Response {
    match service {
        "DynamoDB_20120810" | "DynamoDBStreams_20120810" => services.tables.handle(operation, headers, body).await,
        "AmazonSQS" => {
            let (status, body, code) = services.queues.call(&services.base, operation, &body).await;
            let mut response = json_response(status, "application/x-amz-json-1.0", &body);
            if let Some(value) = code.and_then(|code| format!("{code};Sender").parse().ok()) {
                response.headers_mut().insert("x-amzn-query-error", value);
            }
            response
        }
        "secretsmanager" => {
            let (status, body) = services.secrets.call(operation, &body);
            json_response(status, "application/x-amz-json-1.1", &body)
        }
        "AWSEvents" if operation == "PutEvents" => json_response(200, "application/x-amz-json-1.1", &services.bus.put(&body)),
        _ => {
            let body = json!({ "__type": "UnknownOperationException", "message": "the local stack does not have this service" });
            json_response(400, "application/x-amz-json-1.1", &body)
        }
    }
}

fn json_response(status: u16, kind: &'static str, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [("content-type", kind.to_owned()), ("x-amzn-requestid", uuid())];
    (status, headers, body.to_string()).into_response()
}

/// The REST call `Invoke`.
async fn invoke(host: &Host, name: &str, headers: &HeaderMap, body: Bytes) -> Response {
    let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let refused = |status: u16, kind: &'static str, message: &str| {
        let mut response = json_response(status, "application/json", &json!({ "Type": "User", "message": message }));
        response.headers_mut().insert("x-amzn-errortype", axum::http::HeaderValue::from_static(kind));
        response
    };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_err() {
        return refused(400, "InvalidRequestContentException", "Could not parse request body into json");
    }
    match headers.get("x-amz-invocation-type").and_then(|v| v.to_str().ok()) {
        Some("Event") => match host.invoke_async(name, payload) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(_) => refused(404, "ResourceNotFoundException", &format!("Function not found: {name}")),
        },
        Some("DryRun") if host.knows(name) => StatusCode::NO_CONTENT.into_response(),
        _ => match host.invoke(name, payload).await {
            Ok(answer) => (StatusCode::OK, [("x-amz-executed-version", "$LATEST"), ("content-type", "application/json")], answer)
                .into_response(),
            Err(InvokeError::Failed { payload }) => {
                let headers = [("x-amz-function-error", "Unhandled"), ("content-type", "application/json")];
                (StatusCode::OK, headers, payload).into_response()
            }
            Err(InvokeError::Unknown(_)) => refused(404, "ResourceNotFoundException", &format!("Function not found: {name}")),
        },
    }
}
