//! What the tests share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use local::{Event, NewMessage, Options, Schedules, Stack};
use serde_json::{Value, json};

use crate::http::{Answer, request};

/// Options for the fixture: short visibility, no schedules.
pub fn options() -> Options {
    let mut options = Options::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture.yaml"), functions());
    options.visibility_cap = Some(Duration::from_millis(100));
    options.async_retry_delay = Duration::from_millis(50);
    options.schedules = Schedules::Off;
    options
}

/// Where cargo puts examples, next to the folder of the tests.
pub fn functions() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    deps.parent().unwrap().join("examples")
}

/// Collects what the host tells its observer.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    pub fn watch(&self, options: &mut Options) {
        let seen = self.0.clone();
        options.observer = Some(Arc::new(move |event| seen.lock().unwrap().push(event.clone())));
    }

    /// Lines that functions wrote and that contain `text`.
    pub fn lines(&self, text: &str) -> usize {
        self.count(|event| matches!(event, Event::Line { text: line, .. } if line.contains(text)))
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }
}

/// Waits until `done`, at most five seconds.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(5), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn text(body: &Value) -> NewMessage {
    NewMessage { body: body.to_string(), ..NewMessage::default() }
}

/// One HTTP request off the async threads.
pub async fn http(url: &str, method: &'static str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let path = path.to_owned();
    let call = move || {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        request(&address, method, &path, &headers, &body)
    };
    tokio::task::spawn_blocking(call).await.unwrap().unwrap()
}

/// One call of a JSON protocol: status, body, and the error code for older clients.
pub async fn call(stack: &Stack, target: &str, body: Value) -> (u16, Value, String) {
    let headers = [
        ("x-amz-target", target),
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-date", "20260101T000000Z"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/x/aws4_request, SignedHeaders=host, Signature=0"),
    ];
    let answer = http(stack.endpoint(), "POST", "/", &headers, body.to_string().into_bytes()).await;
    let code = answer.header("x-amzn-query-error").to_owned();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default(), code)
}

/// A command for the fixture's function.
pub fn echo(value: &str) -> Value {
    json!({ "echo": value })
}
