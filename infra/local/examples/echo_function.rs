//! A function that uses the Runtime API directly and does what its event says. The tests of the host run it.

#[path = "../tests/it/http.rs"]
mod http;

use std::time::Duration;

use http::request;
use serde_json::{Value, json};

fn main() {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    if std::env::var("ECHO_BROKEN").is_ok() {
        println!("broken init");
        std::process::exit(7);
    }
    loop {
        let next = request(&api, "GET", "/2018-06-01/runtime/invocation/next", &[], b"");
        let Ok(next) = next else { return };
        let id = next.header("lambda-runtime-aws-request-id");
        let event: Value = serde_json::from_slice(&next.body).unwrap_or_default();
        println!("event {event}");
        let (path, answer) = match handle(&event, &next) {
            Ok(answer) => ("response", answer),
            Err(text) => ("error", json!({ "errorType": "Echo", "errorMessage": text })),
        };
        let path = format!("/2018-06-01/runtime/invocation/{id}/{path}");
        if request(&api, "POST", &path, &[], answer.to_string().as_bytes()).is_err() {
            return;
        }
    }
}

fn handle(event: &Value, next: &http::Answer) -> Result<Value, String> {
    if let Some(step) = event["Step"].as_str() {
        return rotate(step, event);
    }
    if let Some(records) = event["Records"].as_array() {
        let mut failures = Vec::new();
        for record in records {
            let body: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default()).unwrap_or_default();
            act(&body)?;
            if body["poison"] == true {
                failures.push(json!({ "itemIdentifier": record["messageId"] }));
            }
        }
        return Ok(json!({ "batchItemFailures": failures }));
    }
    act(event)?;
    if event["requestContext"]["http"].is_object() {
        let command: Value = serde_json::from_str(event["body"].as_str().unwrap_or_default()).unwrap_or_default();
        act(&command)?;
        return Ok(json!({
            "statusCode": 201, "headers": { "x-echo": "yes", "content-type": "application/json" }, "cookies": ["a=b"],
            "body": event.to_string(),
        }));
    }
    Ok(json!({
        "echo": event["echo"], "pid": std::process::id(), "greeting": std::env::var("GREETING").ok(),
        "queue": std::env::var("WORK_QUEUE").ok(), "arn": next.header("lambda-runtime-invoked-function-arn"),
        "deadline": next.header("lambda-runtime-deadline-ms"), "memory": std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok(),
    }))
}

fn act(command: &Value) -> Result<(), String> {
    if let Some(ms) = command["sleep_ms"].as_u64() {
        std::thread::sleep(Duration::from_millis(ms));
    }
    if let Some(code) = command["exit"].as_i64() {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    command["fail"].as_str().map_or(Ok(()), |text| Err(text.to_owned()))
}

fn rotate(step: &str, event: &Value) -> Result<Value, String> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    let address = endpoint.trim_start_matches("http://").to_owned();
    let call = |operation: &str, body: Value| {
        let target = format!("secretsmanager.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        let answer = request(&address, "POST", "/", &headers, body.to_string().as_bytes()).map_err(|e| e.to_string())?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(value) } else { Err(value.to_string()) }
    };
    let (secret, token) = (&event["SecretId"], &event["ClientRequestToken"]);
    match step {
        "createSecret" => {
            let stages = ["AWSPENDING"];
            call(
                "PutSecretValue",
                json!({ "SecretId": secret, "ClientRequestToken": token, "SecretString": "rotated", "VersionStages": stages }),
            )
        }
        "finishSecret" => {
            let current = call("GetSecretValue", json!({ "SecretId": secret }))?;
            let move_it = json!({
                "SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": token, "RemoveFromVersionId": current["VersionId"],
            });
            call("UpdateSecretVersionStage", move_it)
        }
        _ => Ok(Value::Null),
    }
}
