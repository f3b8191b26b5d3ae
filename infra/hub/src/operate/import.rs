//! `hub import`: takes in what a connection held before the hub knew it, when somebody asks for it; and shows, pauses and ends it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use canonical::ObjectType;
use clap::Args;
use sync::config::Config;
use sync::import::{DEFAULT_PER_MINUTE, Filter, Import, ImportState, Scope, count_results, read_import, send_step, store_import};
use sync::ports::{Clock, Queue, Store};

use super::check_connection;
use super::open::HubArgs;
use crate::config::suggestion;
use crate::out::{CommandError, ProgressLine, block_on, print};
use crate::text::{narrow_table, wrapped};

/// How often a running import is looked at.
const POLL: Duration = Duration::from_secs(2);

/// What records refer to is imported before them.
const ORDER: &[ObjectType] = &[ObjectType::Company, ObjectType::Product, ObjectType::Contact, ObjectType::Deal];

/// Which records are taken.
#[derive(Debug, Clone, Default, Args)]
pub struct ScopeArgs {
    /// Objects in the provider's words, separated by commas [default: those that the hub sweeps or writes there]
    #[arg(long, value_name = "OBJECT", value_delimiter = ',')]
    pub objects: Vec<String>,
    /// Only records with this value of a canonical field: `country=DE`, `created_at>=2025-01-01`; may be repeated
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub filters: Vec<String>,
    /// At most this many records
    #[arg(long, value_name = "N")]
    pub sample: Option<u64>,
    /// Records per minute
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PER_MINUTE)]
    pub rate: u32,
}

/// Arguments of `hub import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// Which records.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Take this share first, in percent, then wait for --go-on
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..100))]
    pub canary: Option<u32>,
    /// What to do with the import that there is.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What to do with an import.
#[derive(Debug, Clone, Copy, Default, Args)]
#[group(multiple = false)]
pub struct ControlArgs {
    /// Show how far it is
    #[arg(long)]
    pub status: bool,
    /// Stop reading until --resume
    #[arg(long)]
    pub pause: bool,
    /// Go on after --pause
    #[arg(long)]
    pub resume: bool,
    /// Take the rest after the canary share
    #[arg(long)]
    pub go_on: bool,
    /// End it; what was taken stays
    #[arg(long)]
    pub discard: bool,
}

/// Runs the command.
pub fn run(args: &ImportArgs) -> Result<ExitCode, CommandError> {
    let (ports, config) = args.hub.open_whole()?;
    check_connection(config.hub(), &args.connection)?;
    let ControlArgs { status, pause, resume, go_on, discard } = args.control;
    block_on(async {
        let name = args.connection.as_str();
        match (pause, resume, go_on, discard) {
            (true, ..) => stop(&ports, name, ImportState::Paused).await?,
            (_, true, ..) => resume_import(&ports, name).await?,
            (_, _, true, _) => go_on_import(&ports, name).await?,
            (.., true) => stop(&ports, name, ImportState::Discarded).await?,
            _ if status => {}
            _ => {
                let scope = scope(&config, name, &args.scope)?;
                start(&ports, Import::new(name, scope, args.scope.rate, args.canary, ports.now_ms())).await?;
            }
        }
        if resume || go_on || !(pause || discard || status) {
            follow(&ports, name).await?;
        }
        let import = require(&ports, name).await?;
        let results = count_results(&ports, &import).await?;
        print(render(&import, &results))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The scope that arguments describe.
///
/// # Errors
/// An object cannot be read, or a condition is wrong.
pub fn scope(config: &Config, connection: &str, args: &ScopeArgs) -> Result<Scope, CommandError> {
    let (settings, provider) = config.connection(connection)?;
    if providers::api_of(&settings.provider).is_none() || settings.api_secret.is_none() {
        let detail = format!("the hub cannot list what `{connection}` holds (docs/generated/api-capabilities.md)");
        return Err(CommandError::Usage(detail));
    }
    let written = config.hub().objects.values().filter_map(|policy| policy.destinations.get(connection).cloned());
    let mut known: Vec<String> = settings.sweep.iter().cloned().chain(written).collect();
    known.sort();
    known.dedup();
    let unknown = args.objects.iter().find(|object| provider.object_of(object).is_none());
    if let Some(object) = unknown {
        let help = suggestion(object, known.iter().map(String::as_str));
        return Err(CommandError::Usage(format!("`{connection}` has no object `{object}`; {help}")));
    }
    let mut objects = if args.objects.is_empty() { known } else { args.objects.clone() };
    let rank = |object: &String| {
        let canonical = provider.object_of(object);
        ORDER.iter().position(|known| Some(*known) == canonical).unwrap_or(ORDER.len())
    };
    objects.sort_by_key(rank);
    let kinds: Vec<ObjectType> = objects.iter().filter_map(|object| provider.object_of(object)).collect();
    let filters = args.filters.iter().map(|text| filter(text, &kinds)).collect::<Result<_, _>>()?;
    Ok(Scope { objects, filters, sample: args.sample })
}

fn filter(text: &str, objects: &[ObjectType]) -> Result<Filter, CommandError> {
    let wrong =
        || CommandError::Usage(format!("--where {text}: write it as field=value, field!=value, field>=value or field<=value"));
    let filter = Filter::parse(text).ok_or_else(wrong)?;
    let known: Vec<&str> = objects.iter().flat_map(|object| canonical::fields_of(*object)).map(|field| field.name).collect();
    if known.contains(&filter.field.as_str()) {
        return Ok(filter);
    }
    let help = suggestion(&filter.field, known);
    Err(CommandError::Usage(format!("--where {text}: there is no field `{}`; {help}", filter.field)))
}

async fn require<P: Store>(ports: &P, connection: &str) -> Result<Import, CommandError> {
    let none = || CommandError::Usage(format!("`{connection}` has no import; `hub import {connection}` begins one"));
    read_import(ports, connection).await?.ok_or_else(none)
}

fn refused(import: &Import, wanted: &str) -> CommandError {
    CommandError::Usage(format!("the import of `{}` is {}: {wanted}", import.connection, import.state.name()))
}

async fn store<P: Store>(ports: &P, import: &mut Import) -> Result<(), CommandError> {
    for _ in 0..STORES {
        if store_import(ports, import).await? {
            return Ok(());
        }
        // A page was read in between. Its position counts, and the state that the operator wants.
        let stored = require(ports, &import.connection).await?;
        let state = import.state;
        *import = Import { state, ..stored };
    }
    Err(CommandError::Backend(format!("the import of `{}` kept changing; try again", import.connection)))
}

/// How often a command tries to store an import that is being read.
const STORES: usize = 10;

/// Begins an import.
///
/// # Errors
/// Another one of the connection has not come to its end.
pub async fn start<P: Store + Queue>(ports: &P, mut import: Import) -> Result<Import, CommandError> {
    if let Some(earlier) = read_import(ports, &import.connection).await? {
        if !matches!(earlier.state, ImportState::Done | ImportState::Discarded) {
            return Err(refused(&earlier, "--resume or --go-on continues it, --discard ends it"));
        }
        import.version = earlier.version;
    }
    if !store_import(ports, &mut import).await? {
        return Err(CommandError::Usage(format!("somebody else began an import of `{}`", import.connection)));
    }
    send_step(ports, &import, 0).await?;
    Ok(import)
}

/// Pauses or ends an import.
///
/// # Errors
/// There is none that runs or waits.
pub async fn stop<P: Store>(ports: &P, connection: &str, state: ImportState) -> Result<(), CommandError> {
    let mut import = require(ports, connection).await?;
    let is_over = matches!(import.state, ImportState::Done | ImportState::Discarded);
    if is_over || state == ImportState::Paused && import.state != ImportState::Running {
        return Err(refused(&import, "there is nothing to stop"));
    }
    import.state = state;
    store(ports, &mut import).await
}

/// Goes on after a pause.
///
/// # Errors
/// The import is not paused.
pub async fn resume_import<P: Store + Queue>(ports: &P, connection: &str) -> Result<(), CommandError> {
    let mut import = require(ports, connection).await?;
    if import.state != ImportState::Paused {
        return Err(refused(&import, "only a paused one can be resumed"));
    }
    import.state = ImportState::Running;
    store(ports, &mut import).await?;
    Ok(send_step(ports, &import, 0).await?)
}

/// Takes the rest after the canary share.
///
/// # Errors
/// The import does not wait for that.
pub async fn go_on_import<P: Store + Queue>(ports: &P, connection: &str) -> Result<(), CommandError> {
    let mut import = require(ports, connection).await?;
    if import.state != ImportState::CanaryDone {
        return Err(refused(&import, "it does not wait after a canary share"));
    }
    import.go_on_after_canary();
    if !store_import(ports, &mut import).await? {
        return Err(CommandError::Usage(format!("somebody else changed the import of `{connection}`")));
    }
    Ok(send_step(ports, &import, 0).await?)
}

/// Shows the progress until every record has its result. Ctrl-C ends the watching, not the import.
async fn follow<P: Store>(ports: &P, connection: &str) -> Result<(), CommandError> {
    let line = ProgressLine::new();
    loop {
        let import = require(ports, connection).await?;
        let results = count_results(ports, &import).await?;
        let finished: u64 = results.values().sum();
        line.show(format_args!("{} read, {} taken, {finished} finished; Ctrl-C leaves it running", import.read, import.taken));
        if import.state != ImportState::Running && finished >= import.taken || import.state == ImportState::Paused {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            signal = crate::out::interrupted() => { signal?; break; }
        }
    }
    line.clear();
    Ok(())
}

/// The report of an import.
pub fn render(import: &Import, results: &BTreeMap<String, u64>) -> String {
    let finished: u64 = results.values().sum();
    let mut rows = vec![
        vec!["read".to_owned(), import.read.to_string(), String::new()],
        vec!["taken".to_owned(), import.taken.to_string(), "in scope and in the share".to_owned()],
    ];
    for (result, count) in results {
        rows.push(vec![format!("  {}", result.replace('_', " ")), count.to_string(), meaning(result).to_owned()]);
    }
    if import.taken > finished {
        rows.push(vec!["  in flight".to_owned(), (import.taken - finished).to_string(), "on their way".to_owned()]);
    }
    let objects = import.scope.objects.join(", ");
    let heading = format!("import {} of {}: {} ({objects})", import.id, import.connection, import.state.name());
    let mut text = wrapped(&heading, 2) + &narrow_table(&rows);
    if import.state == ImportState::CanaryDone {
        text += &wrapped(&format!("look at them, then `hub import {} --go-on` takes the rest", import.connection), 2);
    }
    text
}

/// What a result means.
fn meaning(result: &str) -> &'static str {
    match result {
        "new" => "records that the hub did not know",
        "joined" => "belong to a record that the hub knew",
        "changed" => "changed a record that they were part of",
        "unchanged" | "echo" | "superseded" => "brought nothing new",
        "held" => "no key: nothing is created for them",
        "quarantined" => "a field was set aside (docs/errors/bad-field.md)",
        "dead" => "parked: `hub dlq list` says why",
        _ => "",
    }
}
