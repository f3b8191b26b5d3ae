//! `hub verify`: why does a signature verify, or not? And: do all known answers agree?

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use providers::{Overrides, Registry};
use webhook::vectors::{Declared, VectorResult, Verdict};
use webhook::{Headers, RawRequest, Rejection, Scheme, answer_unsigned, diagnose, verify};

use crate::check::registry;
use crate::cli::VerifyArgs;
use crate::map::open;
use crate::out::{CommandError, read, shown};

/// Runs the command.
pub fn run(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    match &args.vectors {
        Some(file) => {
            let bytes = read(file)?;
            // A line that is no text fails for itself; the others are tried.
            let lines = bytes.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).unwrap_or("not UTF-8"));
            let text = lines.collect::<Vec<_>>().join("\n");
            let report = vectors(&registry(&args.without)?, &text, args.provider.as_deref(), now_ms());
            report.lines.iter().for_each(|line| println!("{line}"));
            if report.passed + report.failed == 0 {
                eprintln!("there is no vector in `{}`{}", shown(file), of(args.provider.as_deref()));
            }
            println!("{} passed, {} failed", report.passed, report.failed);
            Ok(if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        None => single(args),
    }
}

fn of(provider: Option<&str>) -> String {
    provider.map(|name| format!(" of provider `{name}`")).unwrap_or_default()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

/// How known answers fared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line per disagreement.
    pub lines: Vec<String>,
    /// Vectors that agree.
    pub passed: usize,
    /// Vectors that do not, and lines that are no vectors.
    pub failed: usize,
}

/// Runs the vectors of a text, all or those of one provider.
pub fn vectors(registry: &Registry, text: &str, only: Option<&str>, now_ms: i64) -> Report {
    let webhook = |name: &&str| {
        let provider = registry.open(name, &Overrides::default()).ok()?;
        let manifest = provider.manifest();
        Some(((*name).to_owned(), Declared { webhook: manifest.webhook.clone(), accepted: manifest.accepted() }))
    };
    let declared: Vec<(String, Declared)> = registry.names().iter().filter_map(webhook).collect();
    let find = |provider: &str, _kind: &str, _headers: &Headers| {
        declared.iter().find(|(name, one)| one.webhook.answers_to(name, provider)).map(|(_, one)| one.clone())
    };
    let mut report = Report::default();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if only.is_some_and(|only| provider_of(line).is_some_and(|provider| provider != only)) {
            continue;
        }
        match webhook::vectors::run(line, &find, now_ms) {
            Ok(outcome) if outcome.agrees() => report.passed += 1,
            Ok(outcome) => {
                report.failed += 1;
                report.lines.push(disagreement(&outcome));
            }
            Err(error) => {
                report.failed += 1;
                report.lines.push(format!("line {}: {error}", number + 1));
            }
        }
    }
    report
}

fn provider_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("provider")?.as_str().map(str::to_owned)
}

fn disagreement(outcome: &VectorResult) -> String {
    let expected = if outcome.expected { "valid" } else { "not valid" };
    let got = match &outcome.got {
        Verdict::Accepted => "it verifies".to_owned(),
        Verdict::Rejected(rejection) => format!("it does not verify: {rejection}"),
        Verdict::OtherReply(what) => format!("it is answered otherwise: {what}"),
        Verdict::Unsupported => format!("provider `{}` is not supported", outcome.provider.escape_debug()),
    };
    // What a file names itself must not pass for what we say of it.
    format!("{} ({}): expected {expected}, but {got}", outcome.id.escape_debug(), outcome.kind.escape_debug())
}

fn single(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let usage = |text: &str| CommandError::Usage(text.to_owned());
    let name = args.provider.as_deref().ok_or_else(|| usage("say --provider NAME (or --vectors FILE)"))?;
    let url = args.url.as_deref().ok_or_else(|| usage("say --url URL: exactly as the provider called it"))?;
    let provider = open(name)?;
    let mut webhook = provider.manifest().webhook.clone();
    if !args.accept.is_empty() {
        webhook.scheme = webhook.scheme.with_versions(args.accept.clone());
    }
    webhook.check().map_err(|e| CommandError::Usage(format!("--accept: {e}")))?;
    let body = match &args.body {
        Some(file) => read(file)?,
        None => Vec::new(),
    };
    let mut secrets = args.secret.clone();
    for file in &args.secret_files {
        secrets.push(String::from_utf8_lossy(&read(file)?).trim_end_matches(['\r', '\n']).to_owned());
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let headers: Headers = args.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let now = args
        .at
        .as_deref()
        .map_or_else(|| Ok(now_ms()), |text| instant(text).ok_or_else(|| usage("--at: seconds since 1970 or an instant")))?;
    let method = args.method.to_ascii_uppercase();
    let request = RawRequest { method: &method, url, headers: &headers, body: &body };
    if let Some(answer) = answer_unsigned(&webhook, &request) {
        println!("this is a handshake that needs no signature; the hub answers {}", answer.status);
        return Ok(ExitCode::SUCCESS);
    }
    match verify(&webhook.scheme, request, &secrets, now) {
        Ok(verified) => {
            let evidence = verified.evidence();
            let version = evidence.version.as_ref().map(|v| format!(", version {v}")).unwrap_or_default();
            println!("it verifies{version}, with secret {} of {}", evidence.secret + 1, secrets.len());
            Ok(ExitCode::SUCCESS)
        }
        Err(rejection) => {
            explain(name, &webhook.scheme, &rejection, request, &secrets, now);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn explain(name: &str, scheme: &Scheme, rejection: &Rejection, request: RawRequest<'_>, secrets: &[&str], now_ms: i64) {
    println!("it does not verify: {rejection} [{}]", rejection.code());
    println!("  what to look at: {}", rejection.advice());
    println!(
        "  checked: {} {} with {} header fields, {} bytes of body, {} secrets",
        request.method,
        request.url,
        request.headers.iter().count(),
        request.body.len(),
        secrets.len()
    );
    if matches!(rejection, Rejection::Stale(_) | Rejection::Future(_)) {
        let timeless = scheme.clone().with_tolerance(None);
        let rest = if verify(&timeless, request, secrets, now_ms).is_ok() {
            "apart from its time it verifies; use --at"
        } else {
            "apart from its time it does not verify either"
        };
        println!("  {rest}");
    }
    for suspicion in diagnose(scheme, request, secrets, now_ms) {
        println!("  {}", suspicion.text());
    }
    println!("  how {name} signs is declared in shared/providers/{name}/manifest.toml");
}

fn instant(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(if seconds > 100_000_000_000 { seconds } else { seconds * 1_000 });
    }
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond())
}
