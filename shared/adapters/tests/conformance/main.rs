//! The conformance suite of the ports, against the memory twins, against the engines of the local stack, and against the endpoint
//! that `HUB_CONFORMANCE_ENDPOINT` names. `HUB_CONFORMANCE_ENGINE` says what listens there; `tests/run` sets both.

mod endpoint;
mod gaps;

use endpoint::{Endpoint, local_stack};
use testkit::conformance::{Area, Gap, Report, Subject, run};
use testkit::twin::Twin;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_MS: i64 = 1_767_225_600_000;

fn judge(subject: &str, report: &Report) {
    println!("{subject}\n{report}");
    assert!(report.conforms(), "{subject} does not conform:\n{report}");
}

/// True if an endpoint is named: then only the endpoint is tested.
fn tests_only_an_endpoint() -> bool {
    std::env::var_os("HUB_CONFORMANCE_ENDPOINT").is_some()
}

async fn report(subject: &impl Subject, areas: &[Area], gaps: &[Gap]) -> Report {
    run(subject, areas, gaps).await
}

#[tokio::test]
async fn the_twins_conform() {
    if !tests_only_an_endpoint() {
        let twin = Twin::for_conformance(NEW_YEAR_MS);
        judge("memory twins", &report(&twin, Area::ALL, gaps::TWINS).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engines_of_the_local_stack_conform() {
    if !tests_only_an_endpoint() {
        let stack = local_stack().await;
        let subject = Endpoint::prepare(stack.endpoint().to_owned(), Area::ALL, Some(&stack)).await;
        judge("local stack", &report(&subject, Area::ALL, gaps::LOCAL_STACK).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_of_the_environment_conforms() {
    if let Ok(endpoint) = std::env::var("HUB_CONFORMANCE_ENDPOINT") {
        let engine = std::env::var("HUB_CONFORMANCE_ENGINE").unwrap_or_default();
        let (areas, gaps) = gaps::of(&engine);
        let subject = Endpoint::prepare(endpoint, areas, None).await;
        judge(&format!("{engine} ({areas:?})"), &report(&subject, areas, gaps).await);
    }
}
