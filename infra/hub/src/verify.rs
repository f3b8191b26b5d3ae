//! `hub verify`: explains why a signature verifies or does not, and checks known answers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use providers::{Overrides, Registry};
use webhook::vectors::{Declared, VectorResult, Verdict};
use webhook::{Headers, RawRequest, Rejection, Scheme, Webhook, answer_unsigned, diagnose, verify};

use crate::configuration::{ProviderArgs, provider};
use crate::files::{read, shown};
use crate::out::{CommandError, counted, print, print_line};
use crate::text::header;

/// Arguments of `hub verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which providers there are.
    #[command(flatten)]
    pub providers: ProviderArgs,
    /// Known answers, one JSON object per line; lists those that disagree
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "body", "secret"])]
    pub vectors: Option<PathBuf>,
    /// The provider; with --vectors, only its known answers
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The method
    #[arg(long, default_value = "POST")]
    pub method: String,
    /// The URL exactly as the provider called it
    #[arg(long)]
    pub url: Option<String>,
    /// A header, `name=value` or `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "K=V", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The file with the raw body; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// A file with the secret; may be repeated (rotation)
    #[arg(long = "secret-file", value_name = "FILE")]
    pub secret_files: Vec<PathBuf>,
    /// The secret itself; the shell's history keeps it, so prefer --secret-file
    #[arg(long = "secret", value_name = "TEXT")]
    pub secret: Vec<String>,
    /// The receiver's clock: seconds since 1970, or an instant such as 2026-01-31T09:30:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Accept this version of the signature, where the provider has several; may be repeated
    #[arg(long, value_name = "VERSION")]
    pub accept: Vec<String>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    match &args.vectors {
        Some(file) => check_vectors(file, args),
        None => check_one(args),
    }
}

fn check_vectors(file: &Path, args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let bytes = read(file)?;
    // A line that is not UTF-8 fails alone; the other lines are still checked.
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).unwrap_or("not UTF-8"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let report = vectors(&args.providers.registry()?, &text, args.provider.as_deref(), now_ms());
    report.lines.iter().try_for_each(print_line)?;
    if report.passed + report.failed == 0 {
        let of = args.provider.as_deref().map(|name| format!(" of provider `{name}`")).unwrap_or_default();
        eprintln!("`{}` has no known answer{of}", shown(file));
    }
    print_line(format_args!("{} passed, {} failed", report.passed, report.failed))?;
    Ok(if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

/// The result of checking known answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line for each answer that disagrees, and for each line that cannot be read.
    pub lines: Vec<String>,
    /// The number of answers that agree.
    pub passed: usize,
    /// The number of [`Report::lines`].
    pub failed: usize,
}

/// Checks the known answers of a text: all of them, or those of one provider.
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
        Verdict::OtherReply(what) => format!("it gets another answer: {what}"),
        Verdict::Unsupported => format!("provider `{}` is not supported", outcome.provider.escape_debug()),
    };
    // Escaped, because names in the file must not look like our own words.
    format!("{} ({}): expected {expected}, but {got}", outcome.id.escape_debug(), outcome.kind.escape_debug())
}

/// Verifies the request that the arguments describe.
fn check_one(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let usage = |text: &str| CommandError::Usage(text.to_owned());
    let name = args.provider.as_deref().ok_or_else(|| usage("--provider NAME is missing (or --vectors FILE)"))?;
    let url = args.url.as_deref().ok_or_else(|| usage("--url URL is missing: the URL exactly as the provider called it"))?;
    let webhook = declared(name, &args.accept)?;
    let body = args.body.as_deref().map(read).transpose()?.unwrap_or_default();
    let secrets = secrets(args)?;
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let headers: Headers = args.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let now_ms = match &args.at {
        Some(text) => instant(text).ok_or_else(|| usage("--at must be seconds since 1970 or an instant"))?,
        None => now_ms(),
    };
    let method = args.method.to_ascii_uppercase();
    let request = RawRequest { method: &method, url, headers: &headers, body: &body };
    if let Some(answer) = answer_unsigned(&webhook, &request) {
        print_line(format_args!("this is a handshake, which needs no signature; the hub answers {}", answer.status))?;
        return Ok(ExitCode::SUCCESS);
    }
    match verify(&webhook.scheme, request, &secrets, now_ms) {
        Ok(verified) => {
            let evidence = verified.evidence();
            let version = evidence.version.as_ref().map(|v| format!(", version {v}")).unwrap_or_default();
            print_line(format_args!("it verifies{version}, with secret {} of {}", evidence.secret + 1, secrets.len()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(rejection) => {
            print(explanation(&webhook.scheme, &rejection, request, &secrets, now_ms))?;
            print_line(format_args!("  {name}'s signature is declared in shared/providers/{name}/manifest.toml"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a provider's manifest declares, with the accepted versions of the arguments.
fn declared(name: &str, accept: &[String]) -> Result<Webhook, CommandError> {
    let mut webhook = provider(name)?.manifest().webhook.clone();
    if !accept.is_empty() {
        webhook.scheme = webhook.scheme.with_versions(accept.to_vec());
    }
    webhook.check().map_err(|e| CommandError::Usage(format!("--accept: {e}")))?;
    Ok(webhook)
}

fn secrets(args: &VerifyArgs) -> Result<Vec<String>, CommandError> {
    let mut secrets = args.secret.clone();
    for file in &args.secret_files {
        secrets.push(String::from_utf8_lossy(&read(file)?).trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(secrets)
}

fn explanation(scheme: &Scheme, rejection: &Rejection, request: RawRequest<'_>, secrets: &[&str], now_ms: i64) -> String {
    let mut text = format!("it does not verify: {rejection} [{}]\n", rejection.code());
    text += &format!("  hint: {}\n", rejection.advice());
    text += &format!(
        "  checked: {} {} with {}, {} of body, {}\n",
        request.method,
        request.url,
        counted(request.headers.iter().count(), "header"),
        counted(request.body.len(), "byte"),
        counted(secrets.len(), "secret")
    );
    if matches!(rejection, Rejection::Stale(_) | Rejection::Future(_)) {
        let timeless = scheme.clone().with_tolerance(None);
        text += if verify(&timeless, request, secrets, now_ms).is_ok() {
            "  without the check of its time it verifies; use --at\n"
        } else {
            "  without the check of its time it does not verify either\n"
        };
    }
    for suspicion in diagnose(scheme, request, secrets, now_ms) {
        text += &format!("  {}\n", suspicion.text());
    }
    text
}

fn instant(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        // A number this large is in milliseconds.
        return Some(if seconds > 100_000_000_000 { seconds } else { seconds * 1_000 });
    }
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond())
}
