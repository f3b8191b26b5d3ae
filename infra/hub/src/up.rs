//! `hub up`: starts the local stack and the stand-ins of the CRMs, and leaves them running.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use local::Schedules;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::configuration::ConfigArgs;
use crate::files::shown;
use crate::out::{CommandError, block_on, interrupted, print};
use crate::stack::{Running, Setup, build, start};
use crate::text::instant;

/// A lead as a form would send it.
const LEAD: &str = r#"{"form_id":"contact-us","submission_id":"sub-<now>","submitted_at":"<time>","fields":{"email":"ada.<now>@example.org","first_name":"Ada","last_name":"Example","phone":"+4930123456","company":"Example GmbH","message":"Please call me"},"utm":{"utm_source":"newsletter","utm_campaign":"spring"}}"#;

/// Arguments of `hub up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Delete the state of earlier runs
    #[arg(long)]
    pub fresh: bool,
    /// The port of the webhooks' URL [default: 8480, or a free one]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Divide the hub's waiting times by this number: a sweep that comes hourly comes every minute
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub speed: u32,
    /// Build the functions with optimisation
    #[arg(long)]
    pub release: bool,
}

/// Runs the command.
pub fn run(args: &UpArgs) -> Result<ExitCode, CommandError> {
    let loaded = args.config.load_sound()?;
    eprintln!("building the functions …");
    let binaries = build(args.release)?;
    let schedules = Schedules::Faster(args.speed);
    let setup = Setup { fresh: args.fresh, port: args.port, speed: args.speed, schedules, ..Setup::new(&loaded) };
    let folder = setup.folder.clone();
    block_on(async {
        eprintln!("starting the stack and the stand-ins …");
        let running = start(setup, &loaded, &binaries).await?;
        let result = serve(&running, &folder).await;
        eprintln!("\nstopping …");
        running.stop().await;
        result.map(|()| ExitCode::SUCCESS)
    })
}

fn welcome(running: &Running, folder: &Path) -> String {
    let mut text = format!("\nthe hub runs at {}\n", running.url);
    for (name, connection) in running.hub.connections.iter().filter(|(_, c)| c.source) {
        text += &format!("  POST {}/hooks/{name}   ({})\n", running.url, connection.provider);
    }
    for (name, url) in &running.sandboxes.urls {
        text += &format!("{name} stand-in: {url}/_sandbox/dump\n");
    }
    text += &format!("AWS services: {}; logs: {}\n", running.stack.endpoint(), shown(&folder.join("logs")));
    text += "send: cargo hub send stripe customer.created\nlook inside: cargo hub status | explain contact <e-mail> | dlq list\n";
    text += &signed_lead(running);
    text += "\nEnter: another signed request; Ctrl-C: stop\n";
    text
}

/// A signed request to try. Its signature is valid for five minutes.
fn signed_lead(running: &Running) -> String {
    let now = sandbox::server::now_ms();
    let body = LEAD.replace("<now>", &now.to_string()).replace("<time>", &instant(now));
    running.curl("form", &body).map(|curl| format!("\ntry it within five minutes:\n{curl}\n")).unwrap_or_default()
}

/// Prints how to use the hub, and waits for Ctrl-C.
async fn serve(running: &Running, folder: &Path) -> Result<(), CommandError> {
    print(welcome(running, folder))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    loop {
        tokio::select! {
            signal = interrupted() => return signal,
            line = lines.next_line(), if open => match line {
                Ok(Some(_)) => print(signed_lead(running))?,
                _ => open = false,
            },
        }
    }
}
