//! Signing secrets rotate while webhooks arrive: the real binaries on the local stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hub::configuration::ConfigArgs;
use hub::http::post;
use hub::sandboxes::Route;
use hub::stack::{LOCAL_SECRETS, Running, Setup, build, start};
use local::Schedules;
use sync::ports::{SecretSet, Secrets};
use webhook::{Draft, sign};

/// How many rotations follow each other.
const ROTATIONS: usize = 3;

async fn status(route: &Route, secret: &str, n: u32) -> u16 {
    let body = format!(r#"{{"form_id":"rotation","submission_id":"r{n}","fields":{{"email":"r{n}@rotation.example"}}}}"#);
    let (id, at_ms) = (format!("msg_{n}"), sandbox::server::now_ms());
    let draft = Draft { method: "POST", url: &route.url, body: body.as_bytes(), at_ms, id: &id };
    let signed = sign(&route.scheme, &draft, secret).unwrap();
    post(&route.url, &signed.headers, signed.body).await.unwrap().0
}

async fn secrets(running: &Running) -> SecretSet {
    running.ports().secret("form/signing", true).await.unwrap()
}

/// Sends valid webhooks, signed with a secret that a sender may have at that time, and forged ones, until `over` is set.
async fn send(running: Arc<Running>, sender: u32, over: Arc<AtomicBool>, sent: Arc<AtomicU32>) {
    let route = running.route("form").unwrap();
    let mut n = sender * 100_000;
    while !over.load(Ordering::Relaxed) {
        let set = secrets(&running).await;
        // A sender that has not noticed the rotation still signs with the secret that was replaced.
        let late = set.pending.is_none() && n.is_multiple_of(3);
        let valid = if late { set.previous.or(set.current) } else { set.current };
        n += 1;
        assert_eq!(status(&route, &valid.unwrap(), n).await, 202, "a valid webhook was refused");
        n += 1;
        let forged = format!("whsec_{}", "Zm9yZ2VkLWZvcmdlZC1mb3JnZWQt".repeat(2));
        assert_eq!(status(&route, &forged, n).await, 401, "a forged webhook was accepted");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_secrets_rotate_no_valid_webhook_is_refused_and_no_forged_one_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = ConfigArgs::default().load_sound().unwrap();
    let binaries = build(false).unwrap();
    let mut setup = Setup::new(&loaded);
    (setup.folder, setup.fresh, setup.schedules) = (folder.path().to_owned(), true, Schedules::Off);
    let running = Arc::new(start(setup, &loaded, &binaries).await.unwrap());
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let senders: Vec<_> = (1..=3).map(|sender| tokio::spawn(send(running.clone(), sender, over.clone(), sent.clone()))).collect();
    let mut seen = vec![secrets(&running).await.current];
    for _ in 0..ROTATIONS {
        let before = sent.load(Ordering::Relaxed);
        running.stack.rotate(&format!("{LOCAL_SECRETS}form/signing")).unwrap();
        let mut waited = 0;
        while secrets(&running).await.current == seen[seen.len() - 1] || sent.load(Ordering::Relaxed) < before + 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            waited += 1;
            assert!(waited < 600, "the rotation does not end");
            assert!(!senders.iter().any(tokio::task::JoinHandle::is_finished), "a sender gave up");
        }
        seen.push(secrets(&running).await.current);
    }
    over.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    seen.dedup();
    assert_eq!(seen.len(), ROTATIONS + 1, "each rotation creates a new secret");
    running.stop_shared().await;
}
