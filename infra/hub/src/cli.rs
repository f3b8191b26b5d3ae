//! The commands and their arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::operate::command;
use crate::operate::open::{Opened, open};
use crate::out::{CommandError, block_on};
use crate::{check, demo, docs, map, sandbox, sim, template, up, verify};

/// Verified webhooks in, one true record per person, company and deal out.
#[derive(Debug, Parser)]
#[command(name = "hub", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the hub's command line can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the main job on this machine, end to end, and compare the outcome with what it must be
    Demo(DemoArgs),
    /// Check the configuration; with --pack, write what the functions read
    Check(CheckArgs),
    /// Write the parts of template.yaml that follow from the configuration
    Template(TemplateArgs),
    /// Write the data dictionary and the tables of integrations, from the providers' folders and the configuration
    Docs(DocsArgs),
    /// Show the canonical records of a provider's payload
    Map(MapArgs),
    /// Explain why a webhook's signature verifies or does not
    Verify(VerifyArgs),
    /// Start the local stack and the sandboxes, and leave them running
    Up(UpArgs),
    /// Serve the stand-ins of the CRMs on fixed loopback ports, without a hub
    Sandbox(SandboxArgs),
    /// Show what came in and how it ended, per connection
    Status(StatusArgs),
    /// Show events that are kept as they came, and not yet acted on
    Kept(KeptArgs),
    /// Explain how a record came to be what it is
    Explain(ExplainArgs),
    /// Look at parked messages, and send them back
    Dlq(DlqArgs),
    /// Stop writing to a connection and reading from it; what is meant for it is held
    Pause(PauseArgs),
    /// End a pause and send what was held
    Resume(ResumeArgs),
    /// Search for violated invariants with the simulator
    Sim(SimArgs),
}

/// Which hub: that of the environment's variables, else the local one.
#[derive(Debug, Clone, Default, Args)]
pub struct HubArgs {
    /// A file with the hub's tables, queues and endpoint, as KEY=VALUE lines [default: the environment, else .hub/env]
    #[arg(long, value_name = "FILE")]
    pub env: Option<PathBuf>,
}

/// Arguments of `hub up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Forget what an earlier run left
    #[arg(long)]
    pub fresh: bool,
    /// How many times faster than in production waits pass
    #[arg(long, default_value_t = 60)]
    pub speed: u32,
    /// Build the functions optimised
    #[arg(long)]
    pub release: bool,
}

/// Arguments of `hub sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Serve HubSpot's on this port; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub hubspot: Option<u16>,
    /// Serve Salesforce's on this port; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub salesforce: Option<u16>,
}

/// Arguments of `hub status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// How many days, today included (UTC)
    #[arg(long, default_value_t = 2)]
    pub days: u32,
}

/// Arguments of `hub kept`.
#[derive(Debug, Args)]
pub struct KeptArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// How many days, today included (UTC)
    #[arg(long, default_value_t = 2)]
    pub days: u32,
}

/// Arguments of `hub explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The canonical object: contact, company, deal, …
    pub object: String,
    /// Its id, `connection/object/id`, or an identity value such as an e-mail address
    pub key: String,
    /// Only this field
    pub field: Option<String>,
}

/// Arguments of `hub dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// What to do.
    #[command(subcommand)]
    pub action: DlqAction,
}

/// What can be done with parked messages.
#[derive(Debug, Subcommand)]
pub enum DlqAction {
    /// List what is parked, and why
    List {
        /// Only this queue: upsert-hubspot, ingest-urgent, …
        #[arg(long)]
        queue: Option<String>,
    },
    /// Show one message
    Show {
        /// Only this queue
        #[arg(long)]
        queue: Option<String>,
        /// The message's id, or its beginning
        #[arg(long)]
        id: String,
        /// Show the body, which may hold personal data
        #[arg(long)]
        reveal: bool,
    },
    /// Send messages back where they came from, with fresh attempts
    Redrive {
        /// Only this queue
        #[arg(long)]
        queue: Option<String>,
        /// Only this message, by the beginning of its id
        #[arg(long)]
        id: Option<String>,
        /// Only messages with this error code
        #[arg(long)]
        code: Option<String>,
    },
}

/// Arguments of `hub pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// Why, for whoever looks next
    #[arg(long, default_value = "an operator paused it")]
    pub reason: String,
}

/// Arguments of `hub resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
}

/// Where the configuration is.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// The configuration file [default: infra/config/hub.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Do as if this provider's folder were not there; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    pub without: Vec<String>,
}

/// Arguments of `hub demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Do as if this provider's folder were not there; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    pub without: Vec<String>,
    /// The seed of the day
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many times faster than in production waits pass
    #[arg(long, default_value_t = 60)]
    pub speed: u32,
    /// Kill each function that many times (kill -9) while it works
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub kill: u32,
    /// Leave the stack running when done
    #[arg(long)]
    pub keep: bool,
    /// Build the functions optimised
    #[arg(long)]
    pub release: bool,
}

/// Arguments of `hub check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Write the packed configuration, if there are no errors [default: infra/config/layer/hub.pack]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub pack: Option<Option<PathBuf>>,
    /// Where --pack writes
    #[arg(long, value_name = "FILE", requires = "pack")]
    pub out: Option<PathBuf>,
    /// List the values that a destination has no word for, and what they become there
    #[arg(long)]
    pub narrowed: bool,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `hub template`.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Change nothing; fail with the differences when the file is stale
    #[arg(long)]
    pub check: bool,
    /// The template
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
}

/// Arguments of `hub docs`.
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Change nothing; fail and name each page that is stale, missing or left over
    #[arg(long)]
    pub check: bool,
    /// The folder of the pages [default: docs/generated]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `hub map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// The provider
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// The payload: a webhook's body, or a record as the API gives it; `-` is standard input
    pub file: PathBuf,
    /// The payload is a record of the API, of this object
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<String>,
    /// A header of the webhook, `name=value`; may be repeated
    #[arg(long = "header", value_name = "K=V", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// The connection that the records name [default: the provider's name]
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// List the paths of the payload that no rule reads
    #[arg(long)]
    pub unmapped: bool,
}

/// Arguments of `hub verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Do as if this provider's folder were not there; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    pub without: Vec<String>,
    /// Known answers, one JSON object per line; tells which disagree
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "body", "secret"])]
    pub vectors: Option<PathBuf>,
    /// The provider; with --vectors: only its vectors
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The method
    #[arg(long, default_value = "POST")]
    pub method: String,
    /// The URL exactly as the provider called it
    #[arg(long)]
    pub url: Option<String>,
    /// A header, `name=value` or `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "K=V", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// The file with the raw body; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// A file with the secret; may be repeated (rotation)
    #[arg(long = "secret-file", value_name = "FILE")]
    pub secret_files: Vec<PathBuf>,
    /// The secret itself; shells remember it, so prefer --secret-file
    #[arg(long = "secret", value_name = "TEXT")]
    pub secret: Vec<String>,
    /// The receiver's clock: seconds since 1970, or an instant such as 2026-01-31T09:30:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Accept these signature versions, where the provider has several; may be repeated
    #[arg(long, value_name = "VERSION")]
    pub accept: Vec<String>,
}

/// Arguments of `hub sim`.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// How many seeds to try
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub seeds: u64,
    /// Try only this seed, and tell its story
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Plant this bug, to see that it is found
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Run this named scenario
    #[arg(long, value_name = "NAME")]
    pub named: Option<String>,
    /// List the named scenarios and the mutants
    #[arg(long)]
    pub list: bool,
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> Result<ExitCode, CommandError> {
        match self.command {
            Command::Demo(args) => demo::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Template(args) => template::run(&args),
            Command::Docs(args) => docs::run(&args),
            Command::Map(args) => map::run(&args),
            Command::Verify(args) => verify::run(&args),
            Command::Sim(args) => sim::run(&args),
            Command::Up(args) => up::run(&args),
            Command::Sandbox(args) => sandbox::run(&args),
            Command::Status(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::status(&ports, &hub, &args))
            }
            Command::Kept(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::kept(&ports, &hub, &args))
            }
            Command::Explain(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::explain(&ports, &hub, &args))
            }
            Command::Dlq(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::dlq(&ports, &hub, &args))
            }
            Command::Pause(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::pause(&ports, &hub, &args))
            }
            Command::Resume(args) => {
                let Opened { ports, hub } = open(&args.hub)?;
                block_on(command::resume(&ports, &hub, &args))
            }
        }
    }
}

/// `name=value` or `name: value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = match (text.split_once(": "), text.split_once('=')) {
        (Some(colon), Some(equals)) => {
            if colon.0.len() < equals.0.len() {
                colon
            } else {
                equals
            }
        }
        (Some(pair), None) | (None, Some(pair)) => pair,
        (None, None) => return Err("write name=value".to_owned()),
    };
    Ok((name.trim().to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn headers_are_written_either_way() {
        assert_eq!(pair("A: b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("stripe-signature=t=1: 2"), Ok(("stripe-signature".to_owned(), "t=1: 2".to_owned())));
        assert!(pair("nothing").is_err());
    }
}
