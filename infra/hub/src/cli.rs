//! The commands of `hub`. Each command's file has its arguments and runs it.

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::connect::disconnect::{self, DisconnectArgs};
use crate::connect::{self, ConnectArgs};
use crate::operate::absences::{self, AbsencesArgs};
use crate::operate::connections::{self, ConnectionsArgs};
use crate::operate::dlq::{self, DlqArgs};
use crate::operate::explain::{self, ExplainArgs};
use crate::operate::fuse::{self, FuseArgs};
use crate::operate::import::{self, ImportArgs};
use crate::operate::open::HubArgs;
use crate::operate::pause::{self, PauseArgs, ResumeArgs};
use crate::operate::plan::{self, PlanArgs};
use crate::operate::quarantine::{self, QuarantineArgs};
use crate::operate::resolve::{self, ResolveArgs};
use crate::operate::retained::{self, RetainedArgs};
use crate::operate::review::{self, MergeArgs, ReviewArgs, UnmergeArgs};
use crate::operate::status::{self, StatusArgs};
use crate::out::{CommandError, print};
use crate::{add, check, demo, docs, live, load, map, sandbox, send, sim, template, up, verify};

/// What the exit codes of all commands mean.
const EXIT_CODES: &str = "Exit codes:\n  0  done, and nothing is wrong\n  1  the command failed, or found what it looks for to be wrong or not there\n  2  the arguments are wrong";

/// Verifies webhooks and keeps one true record per person, company and deal.
#[derive(Debug, Parser)]
#[command(name = "hub", version, arg_required_else_help = true, max_term_width = 80, after_help = EXIT_CODES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the main job on this machine, end to end, and compare the result with the expected one
    Demo(demo::DemoArgs),
    /// Write a provider's section into the configuration, and say what comes next
    Add(add::AddArgs),
    /// Check the configuration; with --pack, write what the functions read
    Check(check::CheckArgs),
    /// Ask the accounts whether they fit the configuration; the same as `check --live`
    Doctor(HubArgs),
    /// Write the parts of template.yaml that follow from the configuration
    Template(template::TemplateArgs),
    /// Write the data dictionary and the tables of integrations from the providers' folders and the configuration
    Docs(docs::DocsArgs),
    /// Show the canonical records of a provider's payload
    Map(map::MapArgs),
    /// Explain why a webhook's signature verifies or does not
    Verify(verify::VerifyArgs),
    /// Start the local stack and the stand-ins of the CRMs, and leave them running
    Up(up::UpArgs),
    /// Serve the stand-ins of the CRMs on fixed loopback ports, without a hub
    Sandbox(sandbox::SandboxArgs),
    /// Sign a webhook as its provider would, send it, and show how its events ended
    Send(send::SendArgs),
    /// Connect an account: what to create there, its credentials, a first read, its webhooks
    Connect(ConnectArgs),
    /// Show by connection how long its token is good, its scopes, and when anything came or went
    Connections(ConnectionsArgs),
    /// Remove the webhooks that the hub registered at an account, and say what stays
    Disconnect(DisconnectArgs),
    /// Show how many events each connection received, and their outcomes
    Status(StatusArgs),
    /// List events that are stored as they came because no rule maps them
    Retained(RetainedArgs),
    /// List events of which fields were set aside, or send them again after the mapping was corrected
    Quarantine(QuarantineArgs),
    /// Explain where the values of a record come from
    Explain(ExplainArgs),
    /// List pairs of records that may be the same, and decide about them
    Review(ReviewArgs),
    /// Join two records that are the same
    Merge(MergeArgs),
    /// Take source records out of a record that they do not belong to
    Unmerge(UnmergeArgs),
    /// List parked messages, show one, or send them back to their queues
    Dlq(DlqArgs),
    /// Apply a changed configuration to what is stored: shows the plan, and does it with --apply
    Resolve(ResolveArgs),
    /// Show what an import of a connection would create, change and join, and write nothing
    Plan(PlanArgs),
    /// Take in what a connection holds already; show, pause, resume or end that
    Import(ImportArgs),
    /// Show, release or discard what the fuses of a connection hold
    Fuse(FuseArgs),
    /// Stop writing to a connection and reading from it; messages for it are held
    Pause(PauseArgs),
    /// End a pause and send the held messages
    Resume(ResumeArgs),
    /// List linked objects that a reconciliation did not find, or confirm that they are gone
    Absences(AbsencesArgs),
    /// Search for violated invariants with the simulator
    Sim(sim::SimArgs),
    /// Measure how long it takes from a form to both CRMs, at several rates, on this machine
    Load(load::LoadArgs),
    /// Print the completions of a shell for the command `hub`
    Completions(CompletionsArgs),
}

/// Arguments of `hub completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl CompletionsArgs {
    fn run(&self) -> Result<ExitCode, CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "hub", &mut script);
        print(String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(&self) -> Result<ExitCode, CommandError> {
        match &self.command {
            Command::Demo(args) => demo::run(args),
            Command::Add(args) => add::run(args),
            Command::Check(args) => check::run(args),
            Command::Doctor(args) => live::run(args),
            Command::Template(args) => template::run(args),
            Command::Docs(args) => docs::run(args),
            Command::Map(args) => map::run(args),
            Command::Verify(args) => verify::run(args),
            Command::Up(args) => up::run(args),
            Command::Sandbox(args) => sandbox::run(args),
            Command::Send(args) => send::run(args),
            Command::Connect(args) => connect::run(args),
            Command::Connections(args) => connections::run(args),
            Command::Disconnect(args) => disconnect::run(args),
            Command::Status(args) => status::run(args),
            Command::Retained(args) => retained::run(args),
            Command::Quarantine(args) => quarantine::run(args),
            Command::Explain(args) => explain::run(args),
            Command::Review(args) => review::run_review(args),
            Command::Merge(args) => review::run_merge(args),
            Command::Unmerge(args) => review::run_unmerge(args),
            Command::Dlq(args) => dlq::run(args),
            Command::Resolve(args) => resolve::run(args),
            Command::Plan(args) => plan::run(args),
            Command::Import(args) => import::run(args),
            Command::Fuse(args) => fuse::run(args),
            Command::Pause(args) => pause::run_pause(args),
            Command::Resume(args) => pause::run_resume(args),
            Command::Absences(args) => absences::run(args),
            Command::Sim(args) => sim::run(args),
            Command::Load(args) => load::run(args),
            Command::Completions(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
