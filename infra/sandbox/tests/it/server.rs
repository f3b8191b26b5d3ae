//! The stand-in behind a loopback port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use sandbox::server::{Shared, bind, serve};
use sandbox::{Fault, FaultKind, HubSpot, hubspot};

fn send(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sandbox-token\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .expect("sent");
    let mut answer = String::new();
    // A lost answer ends the connection; some systems report that as an error.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_server_answers_and_loses_answers() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let shared = Shared::new(HubSpot::new(hubspot::Options::default()));
    let listener = runtime.block_on(bind(0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(serve(listener, shared.clone()));
    let body = r#"{"properties":{"email":"a@x.test"}}"#;
    let made = send(address, "POST /crm/v3/objects/contacts", body);
    assert!(made.starts_with("HTTP/1.1 201") && made.contains("x-hubspot-ratelimit-remaining: 99"), "{made}");
    shared.lock().fault(Fault::always(FaultKind::LoseAnswer).times(1));
    assert_eq!(send(address, "POST /crm/v3/objects/contacts", r#"{"properties":{"email":"b@x.test"}}"#), "");
    let stats = send(address, "GET /_sandbox/stats", "");
    assert!(stats.contains("\"rows.created\":2"), "{stats}");
}

#[test]
fn what_was_answered_outlives_the_process() {
    let folder = std::env::temp_dir().join(format!("sandbox-durable-{}", std::process::id()));
    let state = folder.join("hubspot.json");
    let open = || Shared::open(HubSpot::new(hubspot::Options::default()), &state).expect("opened");
    let request = |email: &str| {
        let body = format!(r#"{{"properties":{{"email":"{email}"}}}}"#);
        let token = ("authorization".to_owned(), "Bearer sandbox-token".to_owned());
        sandbox::Request::new("POST", "/crm/v3/objects/contacts", &[token], body.as_bytes())
    };
    // Nothing is called at the end, as if the process had been killed.
    let first = open();
    assert_eq!(first.lock().answer(request("a@x.test"), 1_000).expect("logged").status, 201);
    let second = open();
    assert_eq!(second.lock().dump(), first.lock().dump());
    assert_eq!(second.lock().answer(request("b@x.test"), 2_000).expect("logged").status, 201);
    // A line that was cut off is not a step.
    let log =
        std::fs::read_dir(&folder).expect("a folder").flatten().find(|f| f.path().extension().is_some_and(|e| e == "jsonl"));
    let mut log = std::fs::OpenOptions::new().append(true).open(log.expect("a log").path()).expect("opened");
    log.write_all(b"{\"request\":{\"at_ms\":3").expect("written");
    let third = open();
    assert_eq!(third.lock().dump(), second.lock().dump());
    assert_eq!(third.lock().answer(request("a@x.test"), 3_000).expect("logged").status, 409, "the first one is still there");
    std::fs::remove_dir_all(&folder).expect("removed");
}
