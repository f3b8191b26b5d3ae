//! The commands, run as a user runs them.

use std::path::Path;
use std::process::{Command, Output};

use providers::{Overrides, Provider};
use serde_json::{Value, json};
use webhook::{Draft, sign};

const AT_MS: i64 = 1_769_851_800_000;
const URL: &str = "https://hub.example/hooks/stripe";
const SECRET: &str = "whsec_not_a_real_secret";
const CUSTOMER: &str = r#"{"id":"evt_1","object":"event","type":"customer.created","created":1769851800,"livemode":true,"data":{"object":{"id":"cus_1","object":"customer","created":1769851700,"email":"Ada@Example.org","name":"Ada Example","phone":"+4930123456","livemode":true}}}"#;

fn hub(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hub"))
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("written");
    path.display().to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn signature() -> Vec<(String, String)> {
    let provider = Provider::builtin("stripe", &Overrides::default()).expect("a provider");
    let draft = Draft { method: "POST", url: URL, body: CUSTOMER.as_bytes(), at_ms: AT_MS, id: "" };
    sign(&provider.manifest().webhook.scheme, &draft, SECRET).expect("signed").headers
}

#[test]
fn check_finds_the_default_sound_and_packs_it() {
    let folder = folder();
    let pack = folder.path().join("deep/hub.pack");
    let done = hub(&["check", "--pack", "--out", &pack.display().to_string()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).starts_with("infra/config/hub.toml: 4 connections, 8 destination objects"),
        "{}",
        text(&done.stdout)
    );
    assert!(sync::config::Config::open(std::fs::read(&pack).expect("a pack")).is_ok());
}

#[test]
fn check_fails_with_the_line_and_packs_nothing() {
    let folder = folder();
    let config = file(&folder, "hub.toml", &hub::config::DEFAULT.replace("provider = \"stripe\"", "provider = \"strip\""));
    let pack = folder.path().join("hub.pack");
    let done = hub(&["check", "--config", &config, "--pack", &pack.display().to_string()]);
    assert_eq!(done.status.code(), Some(1));
    let output = text(&done.stderr);
    assert!(
        output.contains("hub.toml:35:12") && output.contains("did you mean `stripe`?") && output.contains("1 error"),
        "{output}"
    );
    assert!(!pack.exists());
}

#[test]
fn map_prints_canonical_records() {
    let folder = folder();
    let payload = file(&folder, "event.json", CUSTOMER);
    let done = hub(&["map", "--provider", "stripe", &payload]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let printed: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let record = &printed[0];
    assert_eq!(record["object"], "contact");
    assert_eq!(record["source"], json!({"connection": "stripe", "object": "customer", "id": "cus_1"}));
    assert_eq!(record["fields"]["email"], "ada@example.org");
}

#[test]
fn map_reports_what_is_not_supported() {
    let folder = folder();
    let payload = file(&folder, "event.json", &CUSTOMER.replace("customer.created", "entitlements.unheard_of"));
    let done = hub(&["map", "--provider", "stripe", &payload]);
    assert!(done.status.success());
    assert_eq!(text(&done.stdout), "[]\n");
    assert!(text(&done.stderr).contains("entitlements.unheard_of) is not supported"), "{}", text(&done.stderr));
    let broken = file(&folder, "broken.json", "{\"id\":");
    assert_eq!(hub(&["map", "--provider", "stripe", &broken]).status.code(), Some(1));
    let unknown = hub(&["map", "--provider", "strip", &payload]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("did you mean `stripe`?"), "{}", text(&unknown.stderr));
}

#[test]
fn verify_accepts_a_good_signature_and_explains_a_bad_one() {
    let folder = folder();
    let body = file(&folder, "body.json", CUSTOMER);
    let with_newline = file(&folder, "newline.json", &format!("{CUSTOMER}\n"));
    let secret = file(&folder, "secret", SECRET);
    let at = (AT_MS / 1000).to_string();
    let header = signature().into_iter().map(|(n, v)| format!("{n}: {v}")).next().expect("a header");
    let run = |body: &str, at: &str| {
        hub(&[
            "verify",
            "--provider",
            "stripe",
            "--url",
            URL,
            "-H",
            &header,
            "--body",
            body,
            "--secret-file",
            &secret,
            "--at",
            at,
        ])
    };
    let good = run(&body, &at);
    assert!(good.status.success() && text(&good.stdout).starts_with("it verifies"), "{}", text(&good.stdout));

    let changed = run(&with_newline, &at);
    assert_eq!(changed.status.code(), Some(1));
    let output = text(&changed.stdout);
    assert!(output.contains("[mismatch]") && output.contains("another line end at the end of the body"), "{output}");

    let late = run(&body, "2026-02-28T00:00:00Z");
    let output = text(&late.stdout);
    assert!(output.contains("[stale]") && output.contains("without the check of its time it verifies"), "{output}");
    assert!(!output.contains(SECRET) && !output.contains("ada@"), "neither secret nor body is shown: {output}");
}

#[test]
fn verify_counts_known_answers() {
    let headers: serde_json::Map<String, Value> = signature().into_iter().map(|(n, v)| (n, json!(v))).collect();
    let vector = |id: &str, provider: &str, secret: &str, valid: bool| {
        json!({"id": id, "provider": provider, "kind": "k", "valid": valid, "secret": secret, "method": "POST", "url": URL,
               "headers": headers, "body": CUSTOMER, "at_ms": AT_MS})
        .to_string()
    };
    let lines = [
        vector("good", "stripe", SECRET, true),
        vector("forged", "stripe", "whsec_other", false),
        vector("lie", "stripe", "whsec_other", true),
        vector("stranger", "nobody", SECRET, true),
        "no vector".to_owned(),
    ];
    let folder = folder();
    let vectors = file(&folder, "vectors.jsonl", &lines.join("\n"));
    let all = hub(&["verify", "--vectors", &vectors]);
    assert_eq!(all.status.code(), Some(1));
    let output = text(&all.stdout);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 4, "{output}");
    assert!(lines[0].starts_with("lie (k): expected valid, but it does not verify"), "{output}");
    assert!(lines[1].contains("provider `nobody` is not supported"), "{output}");
    assert!(lines[2].starts_with("line 5: not a signature vector: "), "with the reason: {output}");
    assert_eq!(lines[3], "2 passed, 3 failed");
    let one = file(&folder, "good.jsonl", &vector("good", "stripe", SECRET, true));
    assert!(hub(&["verify", "--vectors", &one, "--provider", "stripe"]).status.success());
}

#[test]
fn the_template_is_fresh() {
    let done = hub(&["template", "--check"]);
    assert!(done.status.success(), "{}", text(&done.stdout));
}

/// Runs a command in a folder that has the configuration and the examples, and no running hub.
fn hub_elsewhere(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    let config = folder.path().join("infra/config");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("hub.toml"), hub::config::DEFAULT).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
    command.args(args).current_dir(folder.path()).output().expect("the command runs")
}

#[test]
fn commands_say_that_the_hub_is_not_running() {
    let folder = folder();
    for args in [&["status"][..], &["dlq", "list"], &["explain", "contact", "a@example.org"], &["send", "stripe", "x"]] {
        let done = hub_elsewhere(&folder, args);
        assert_eq!(done.status.code(), Some(1));
        let output = text(&done.stderr);
        assert!(output.contains("the hub is not running; start it with `cargo hub up`"), "{output}");
    }
    // The file of a hub that was killed is still there.
    let environment = "HUB_TABLE_GOLDEN=golden\nAWS_ENDPOINT_URL=http://127.0.0.1:1\n";
    let killed = folder.path().join(".hub/env");
    std::fs::create_dir_all(folder.path().join(".hub")).expect("a folder");
    std::fs::write(&killed, environment).expect("written");
    let done = hub_elsewhere(&folder, &["status"]);
    let output = text(&done.stderr);
    assert!(output.contains("the hub is not running (nothing answers at 127.0.0.1:1)"), "{output}");
}

#[test]
fn send_lists_the_examples_of_a_provider() {
    let done = hub(&["send", "stripe"]);
    let output = text(&done.stdout);
    let line = "customer.created  shared/providers/stripe/fixtures/customer_created";
    assert!(done.status.success() && output.lines().any(|l| l.starts_with(line)), "{output}");
}

#[test]
fn completions_are_printed_for_a_shell() {
    let done = hub(&["completions", "bash"]);
    assert!(done.status.success() && text(&done.stdout).contains("complete -F _hub"), "{}", text(&done.stderr));
}

#[test]
fn wrong_arguments_are_refused() {
    assert_eq!(hub(&[]).status.code(), Some(2));
    assert_eq!(hub(&["chek"]).status.code(), Some(2));
    let missing = hub(&["check", "--config", "/nonexistent/hub.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    let output = text(&missing.stderr);
    assert!(output.contains("`/nonexistent/hub.toml` cannot be read") && output.contains("because: "), "{output}");
}
