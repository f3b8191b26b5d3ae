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
