//! Amazon SNS in `receive`: which certificates are trusted, where they are fetched, and when a subscription is confirmed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hub::config::{Changes, DEFAULT, Loaded};
use providers::http::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use sync::config::Config;
use sync::ports::{Blob, Clock, Http, HttpError, Outgoing, PortError, Queue, SecretSet, Secrets};
use sync::receive::{Process, Request, handle};
use webhook::{Draft, Headers, Scheme, Sns, sign};

const TOPIC: &str = "arn:aws:sns:eu-central-1:210987654321:mail";
const KEY: &str = include_str!("../demo/sns/key.txt");
const CERTIFICATE: &str = include_str!("../demo/sns/certificate.pem");
const NOW_MS: i64 = 1_790_000_000_000;

/// Ports without secrets, and an HTTP port that answers every request with one status.
#[derive(Default)]
struct Ports {
    status: u16,
    sent: Mutex<Vec<String>>,
    called: Mutex<Vec<String>>,
}

impl Clock for Ports {
    fn now_ms(&self) -> i64 {
        NOW_MS
    }
    fn random(&self) -> u64 {
        7
    }
    fn fill_secret(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
    async fn sleep(&self, _ms: u64) {}
}

impl Queue for Ports {
    async fn send(&self, queue: &sync::ports::QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        self.sent.lock().unwrap().push(queue.to_string());
        messages.iter().map(|_| Ok(())).collect()
    }
    async fn delay(&self, _queue: &sync::ports::QueueName, _receipt: &str, _seconds: u32) -> Result<(), PortError> {
        Ok(())
    }
}

impl Blob for Ports {
    async fn put(&self, _key: &str, _bytes: &[u8]) -> Result<(), PortError> {
        Ok(())
    }
    async fn get_blob(&self, _key: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok(None)
    }
}

impl Secrets for Ports {
    async fn secret(&self, _name: &str, _fresh: bool) -> Result<SecretSet, PortError> {
        Ok(SecretSet::default())
    }
}

impl Http for Ports {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.called.lock().unwrap().push(request.url);
        Ok(HttpResponse { status: self.status, headers: Vec::new(), body: CERTIFICATE.into() })
    }
}

fn config() -> Config {
    let connection = format!(
        "[connections.mail]\nprovider = \"amazon-ses\"\nroles = [\"source\"]\nowner = \"marketing\"\nsla = \"10m\"\n\
         signature = {{ topics = [\"{TOPIC}\"] }}\n"
    );
    let loaded = Loaded::new("hub.toml", format!("{DEFAULT}\n{connection}"), None);
    Config::open(loaded.pack(&Changes::default()).unwrap_or_else(|e| panic!("{e}"))).unwrap()
}

fn message(changes: Value) -> Value {
    let mut message = json!({"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": "{}",
        "Timestamp": "2026-01-01T00:00:00Z", "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/one.pem"});
    message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    message
}

/// Signs a message and delivers it. Gives the status of the answer.
async fn deliver(ports: &Ports, config: &Config, process: &Process, message: &Value, tamper: bool) -> u16 {
    let url = "https://hub.example/hooks/mail";
    let scheme = Scheme::Sns(Sns { topics: vec![TOPIC.into()], certificate_names: vec!["sns.amazonaws.com".into()] });
    let body = message.to_string();
    let draft = Draft { method: "POST", url, body: body.as_bytes(), at_ms: NOW_MS, id: "" };
    let mut signed: Value = serde_json::from_slice(&sign(&scheme, &draft, KEY.trim()).unwrap().body).unwrap();
    if tamper {
        signed["Message"] = json!("{\"forged\":true}");
    }
    let request = Request {
        method: "POST".into(),
        path: "/hooks/mail".into(),
        url: url.into(),
        headers: Headers::new(),
        body: signed.to_string().into_bytes(),
    };
    handle(ports, config, process, &request).await.status
}

#[tokio::test]
async fn a_certificate_is_fetched_once_and_from_the_topics_host() {
    let (config, ports) = (config(), Ports { status: 200, ..Ports::default() });
    let process = Process::default();
    assert_eq!(config.hub().connections["mail"].hosts, ["sns.eu-central-1.amazonaws.com"]);
    for _ in 0..2 {
        assert_eq!(deliver(&ports, &config, &process, &message(json!({})), false).await, 200);
    }
    assert_eq!(deliver(&ports, &config, &process, &message(json!({})), true).await, 401);
    assert_eq!(*ports.called.lock().unwrap(), ["https://sns.eu-central-1.amazonaws.com/one.pem"]);
    assert_eq!(ports.sent.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_is_fetched_for_unknown_topics_and_hosts() {
    let (config, ports) = (config(), Ports { status: 200, ..Ports::default() });
    let process = Process::default();
    for changes in [
        json!({"TopicArn": "arn:aws:sns:eu-central-1:666666666666:mail"}),
        json!({"SigningCertURL": "https://evil.example/one.pem"}),
        json!({"SigningCertURL": "https://sns.eu-central-1.amazonaws.com.evil.example/one.pem"}),
        json!({"SigningCertURL": "http://sns.eu-central-1.amazonaws.com/one.pem"}),
    ] {
        assert_eq!(deliver(&ports, &config, &process, &message(changes.clone()), false).await, 401, "{changes}");
    }
    assert!(ports.called.lock().unwrap().is_empty() && ports.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_fetched_makes_the_sender_try_again() {
    let (config, ports) = (config(), Ports { status: 500, ..Ports::default() });
    assert_eq!(deliver(&ports, &config, &Process::default(), &message(json!({})), false).await, 503);
    assert!(ports.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_subscription_is_confirmed_when_it_is_signed_and_of_our_topic() {
    let wanted = json!({"Type": "SubscriptionConfirmation", "Token": "t",
        "SubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"});
    let config = config();
    let outcomes: BTreeMap<&str, (u16, usize)> = [("confirmed", (200, 2)), ("tampered", (401, 1))].into();
    for (name, (status, calls)) in outcomes {
        let ports = Ports { status: 200, ..Ports::default() };
        let process = Process::default();
        let answered = deliver(&ports, &config, &process, &message(wanted.clone()), name == "tampered").await;
        assert_eq!((answered, ports.called.lock().unwrap().len()), (status, calls), "{name}");
        assert!(ports.sent.lock().unwrap().is_empty(), "{name}: a subscription is not an event");
    }
    let ports = Ports { status: 200, ..Ports::default() };
    let elsewhere = json!({"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "https://evil.example/"});
    assert_eq!(deliver(&ports, &config, &Process::default(), &message(elsewhere), false).await, 200);
    assert_eq!(ports.called.lock().unwrap().len(), 1, "only the certificate is fetched");
}
