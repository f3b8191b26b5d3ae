//! `hub up`: the local stack and the sandboxes, left running.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cli::UpArgs;
use crate::crm::Stands;
use crate::out::{CommandError, shown, write};
use crate::stack::{Running, Setup, build, configuration, start};

/// How often the stand-ins' state is kept.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// A lead as a form would send it.
const LEAD: &str = r#"{"form_id":"contact-us","submission_id":"sub-<now>","submitted_at":"<time>","fields":{"email":"ada.<now>@example.org","first_name":"Ada","last_name":"Example","phone":"+4930123456","company":"Example GmbH","message":"Please call me"},"utm":{"utm_source":"newsletter","utm_campaign":"spring"}}"#;

/// Runs the command.
pub fn run(args: &UpArgs) -> Result<ExitCode, CommandError> {
    let loaded = configuration(&args.config)?;
    eprintln!("building the functions …");
    let binaries = build(args.release)?;
    let setup = Setup { fresh: args.fresh, speed: args.speed, ..Setup::new(&loaded) };
    let folder = setup.folder.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::Backend(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        eprintln!("starting stack and stand-ins …");
        let running = start(setup, &loaded, &binaries).await?;
        if !args.fresh {
            restore(&running.stands, &folder);
        }
        print!("{}", welcome(&running, &folder));
        let result = wait(&running, &folder).await;
        eprintln!("\nstopping …");
        let kept = keep(&running.stands, &folder);
        running.stop().await;
        result.and(kept).map(|()| ExitCode::SUCCESS)
    })
}

fn welcome(running: &Running, folder: &Path) -> String {
    let mut text = format!("\nthe hub is up at {}\n", running.url);
    for (name, connection) in running.hub.connections.iter().filter(|(_, c)| c.source) {
        text += &format!("  POST {}/hooks/{name}   ({})\n", running.url, connection.provider);
    }
    for (name, url) in &running.stands.urls {
        text += &format!("{name} stand-in: {url}/_sandbox/dump\n");
    }
    text += &format!("AWS services: {}; logs: {}\n", running.stack.endpoint(), shown(&folder.join("logs")));
    text += "ask it: cargo hub status | explain contact <e-mail> | dlq list\n";
    text += &lead(running);
    text += "\nEnter: another signed request; Ctrl-C: stop\n";
    text
}

/// A signed request to try; its signature holds for five minutes.
fn lead(running: &Running) -> String {
    let now = sandbox::server::now_ms();
    let body = LEAD.replace("<now>", &now.to_string()).replace("<time>", &crate::operate::text::instant(now));
    running.curl("form", &body).map(|curl| format!("\ntry it within five minutes:\n{curl}\n")).unwrap_or_default()
}

/// Until Ctrl-C.
async fn wait(running: &Running, folder: &Path) -> Result<(), CommandError> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    let mut timer = tokio::time::interval(KEEP_EVERY);
    loop {
        tokio::select! {
            signal = tokio::signal::ctrl_c() => return signal.map_err(|e| CommandError::Backend(format!("no signals: {e}"))),
            line = lines.next_line(), if open => match line {
                Ok(Some(_)) => print!("{}", lead(running)),
                _ => open = false,
            },
            _ = timer.tick() => keep(&running.stands, folder)?,
        }
    }
}

fn state(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("state/{name}.json"))
}

fn keep(stands: &Stands, folder: &Path) -> Result<(), CommandError> {
    for (name, stand) in &stands.shared {
        let saved = stand.lock().save();
        write(&state(folder, name), saved.to_string().as_bytes())?;
    }
    Ok(())
}

/// What a stand-in kept belongs to the stack's own state; without it, it starts empty.
fn restore(stands: &Stands, folder: &Path) {
    for (name, stand) in &stands.shared {
        let text = std::fs::read_to_string(state(folder, name)).unwrap_or_default();
        if let Ok(saved) = serde_json::from_str(&text)
            && let Err(refused) = stand.lock().restore(&saved)
        {
            eprintln!("warning: the stand-in of {name} starts empty: {refused}");
        }
    }
}
