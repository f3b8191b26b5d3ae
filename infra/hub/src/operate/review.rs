//! `hub review`, `hub merge` and `hub unmerge`: a person decides who is who. The commands send a message; `transform` carries it out.

use std::process::ExitCode;

use canonical::{GoldenId, ObjectType, RemoteId};
use clap::{Args, Subcommand};
use serde_json::json;
use sync::config::Hub;
use sync::decision::{Decision, Verdict};
use sync::failure::Failure;
use sync::outbox::send_decision;
use sync::ports::Table;
use sync::record::{GoldenRecord, Link, Review, ReviewState, golden_by_id, read_link, read_reviews};
use sync::seal::Vault;

use super::Ports;
use super::explain::object;
use super::open::{HubArgs, OpenHub};
use crate::out::{CommandError, block_on, counted, print, print_json, print_line};
use crate::text::{instant, wrapped};

/// Arguments of `hub review`.
#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// What to do
    #[command(subcommand)]
    pub action: ReviewAction,
}

/// What `hub review` does.
#[derive(Debug, Subcommand)]
pub enum ReviewAction {
    /// List the pairs of records that may be the same and wait for a decision
    List {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// The two records are the same: join them, and merge their objects where a CRM can
    Accept(VerdictArgs),
    /// The two records are not the same: keep them apart for good
    Reject(VerdictArgs),
}

/// Which review a verdict decides.
#[derive(Debug, Args)]
pub struct VerdictArgs {
    /// The review's id, or the beginning of it
    pub id: String,
    /// Who decides, for the audit log
    #[arg(long, default_value = "an operator")]
    pub by: String,
}

/// Arguments of `hub unmerge`.
#[derive(Debug, Args)]
pub struct UnmergeArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The canonical object: contact, company, deal, …
    pub object: String,
    /// The record's id, as `hub explain` shows it
    pub record: String,
    /// The source records that do not belong to it, as `connection/object/id`
    #[arg(required = true)]
    pub sources: Vec<String>,
    /// Who decides, for the audit log
    #[arg(long, default_value = "an operator")]
    pub by: String,
}

/// Arguments of `hub merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The canonical object: contact, company, deal, …
    pub object: String,
    /// The id of one record
    pub one: String,
    /// The id of the other record
    pub other: String,
    /// Who decides, for the audit log
    #[arg(long, default_value = "an operator")]
    pub by: String,
}

/// Runs `hub review`.
pub fn run_review(args: &ReviewArgs) -> Result<ExitCode, CommandError> {
    let OpenHub { ports, config } = args.hub.open()?;
    match &args.action {
        ReviewAction::List { json } => {
            let open = block_on(async {
                let vault = Vault::open(&ports).await?;
                Ok(open_reviews(&ports, &vault, &config).await?)
            })?;
            if *json {
                print_json(&as_json(&open))?;
            } else {
                print(render(&open))?;
            }
        }
        ReviewAction::Accept(verdict) | ReviewAction::Reject(verdict) => {
            let accept = matches!(args.action, ReviewAction::Accept(_));
            let review = block_on(async {
                let vault = Vault::open(&ports).await?;
                decide(&ports, &vault, &config, verdict, accept).await
            })?;
            let what = if accept { "will be joined" } else { "will be kept apart" };
            print_line(format!("review {} is decided: the two {} records {what}", review.id, review.object))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `hub unmerge`.
pub fn run_unmerge(args: &UnmergeArgs) -> Result<ExitCode, CommandError> {
    let object = object(&args.object)?;
    let sources = args.sources.iter().map(|text| source(text)).collect::<Result<Vec<_>, _>>()?;
    let OpenHub { ports, .. } = args.hub.open()?;
    block_on(async {
        let vault = Vault::open(&ports).await?;
        unmerge(&ports, &vault, object, &args.record, sources, &args.by).await
    })?;
    print_line(format!("{} will leave the record; `hub explain` shows both soon", counted(args.sources.len(), "source record")))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `hub merge`.
pub fn run_merge(args: &MergeArgs) -> Result<ExitCode, CommandError> {
    let object = object(&args.object)?;
    let OpenHub { ports, .. } = args.hub.open()?;
    block_on(async {
        let vault = Vault::open(&ports).await?;
        let one = existing(&ports, &vault, object, &args.one).await?;
        let other = existing(&ports, &vault, object, &args.other).await?;
        let decision = Verdict::Join { records: [one.id, other.id], review: None };
        Ok(send_decision(&ports, &Decision { decision, object, by: args.by.clone() }).await?)
    })?;
    print_line("the two records will be joined; `hub explain` shows them as one soon")?;
    Ok(ExitCode::SUCCESS)
}

fn source(text: &str) -> Result<RemoteId, CommandError> {
    match text.splitn(3, '/').collect::<Vec<_>>()[..] {
        [connection, object, id] => Ok(RemoteId { connection: connection.into(), object: object.into(), id: id.into() }),
        _ => {
            Err(CommandError::Usage(format!("`{text}` is no source record; give connection/object/id as `hub explain` shows it")))
        }
    }
}

async fn existing<P: Ports>(ports: &P, vault: &Vault, object: ObjectType, id: &str) -> Result<GoldenRecord, CommandError> {
    let found = golden_by_id(ports, vault, object, id).await?;
    found.ok_or_else(|| CommandError::Usage(format!("there is no {object} with the id `{id}`; `hub explain` shows ids")))
}

/// Sends the decision that source records leave their record.
pub async fn unmerge<P: Ports>(
    ports: &P,
    vault: &Vault,
    object: ObjectType,
    record: &str,
    sources: Vec<RemoteId>,
    by: &str,
) -> Result<(), CommandError> {
    let golden = existing(ports, vault, object, record).await?;
    if let Some(stranger) = sources.iter().find(|source| !golden.members.contains(source)) {
        return Err(CommandError::Usage(format!("{stranger} is no source record of {object} {}", golden.id)));
    }
    if sources.len() >= golden.members.len() {
        return Err(CommandError::Usage("a split leaves at least one source record on each side".to_owned()));
    }
    let decision = Verdict::Split { record: golden.id, sources };
    Ok(send_decision(ports, &Decision { decision, object, by: by.to_owned() }).await?)
}

/// An open review, with its two records as they are today.
#[derive(Debug)]
pub struct OpenReview {
    /// The review.
    pub review: Review,
    /// Its records.
    pub sides: [Side; 2],
}

/// One of the two records.
#[derive(Debug)]
pub struct Side {
    /// Its id today.
    pub id: GoldenId,
    /// Its source records.
    pub sources: Vec<RemoteId>,
    /// Its objects: destination and id there.
    pub objects: Vec<(String, String)>,
}

/// The reviews that nobody has decided, the oldest first. A pair that has become one record since is left out, and of several
/// reviews of one pair the first one is shown.
pub async fn open_reviews<P: Ports>(ports: &P, vault: &Vault, hub: &Hub) -> Result<Vec<OpenReview>, Failure> {
    let mut open: Vec<OpenReview> = Vec::new();
    for object in ObjectType::ALL {
        let mut reviews = read_reviews(ports, *object).await?;
        reviews.retain(|review| review.state == ReviewState::Open);
        reviews.sort_by_key(|review| review.at_ms);
        for review in reviews {
            let one = side(ports, vault, hub, *object, &review.records[0]).await?;
            let other = side(ports, vault, hub, *object, &review.records[1]).await?;
            let (Some(one), Some(other)) = (one, other) else { continue };
            let known = open.iter().any(|open| {
                let ids = open.sides.each_ref().map(|side| &side.id);
                ids == [&one.id, &other.id] || ids == [&other.id, &one.id]
            });
            if one.id != other.id && !known {
                open.push(OpenReview { review, sides: [one, other] });
            }
        }
    }
    Ok(open)
}

async fn side<P: Ports>(ports: &P, vault: &Vault, hub: &Hub, object: ObjectType, id: &GoldenId) -> Result<Option<Side>, Failure> {
    let Some(golden) = golden_by_id(ports, vault, object, id).await? else { return Ok(None) };
    let mut objects = Vec::new();
    for destination in hub.object(object).destinations.keys() {
        let item = ports.get(Table::Links, &Link::key(destination, object, &golden.id)).await?;
        let Some(item) = item else { continue };
        let link = read_link(ports, vault, &item).await?;
        objects.extend(link.remote_id().map(|id| (destination.to_string(), id.to_owned())));
    }
    Ok(Some(Side { id: golden.id, sources: golden.members.into_iter().collect(), objects }))
}

/// Sends the verdict on the open review whose id begins like this.
pub async fn decide<P: Ports>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    args: &VerdictArgs,
    accept: bool,
) -> Result<Review, CommandError> {
    let mut open = open_reviews(ports, vault, hub).await?;
    open.retain(|open| open.review.id.starts_with(&args.id));
    let found = open.len();
    let Some(OpenReview { review, sides }) = open.pop().filter(|_| found == 1) else {
        let message =
            format!("{} with an id that begins with `{}`; see `hub review list`", counted(found, "open review"), args.id);
        return Err(CommandError::Usage(message));
    };
    let records = sides.map(|side| side.id);
    let id = Some(review.id.clone());
    let decision = if accept { Verdict::Join { records, review: id } } else { Verdict::KeepApart { records, review: id } };
    send_decision(ports, &Decision { decision, object: review.object, by: args.by.clone() }).await?;
    Ok(review)
}

/// The open reviews in lines of 80 columns.
pub fn render(open: &[OpenReview]) -> String {
    if open.is_empty() {
        return "no pair of records waits for a decision\n".to_owned();
    }
    let mut text = format!("{}\n", counted(open.len(), "open review"));
    for OpenReview { review, sides } in open {
        let keys: Vec<&str> = review.keys.iter().map(String::as_str).collect();
        let since = instant(review.at_ms);
        let heading = format!("{}  {}, since {since}, both have the same {}", review.id, review.object, keys.join(", "));
        text += &format!("\n{}", wrapped(&heading, 2));
        for side in sides {
            let sources: Vec<String> = side.sources.iter().map(ToString::to_string).collect();
            let objects: Vec<String> = side.objects.iter().map(|(destination, id)| format!("{destination} {id}")).collect();
            text += &wrapped(&format!("  {}  from {}; objects: {}", side.id, sources.join(", "), objects.join(", ")), 4);
        }
    }
    let next =
        "The same: hub review accept <id>. Not the same: hub review reject <id>. The fields: hub explain <object> <record>.";
    text + "\n" + &wrapped(next, 0)
}

/// The same for programs.
pub fn as_json(open: &[OpenReview]) -> serde_json::Value {
    let side = |side: &Side| {
        let sources: Vec<String> = side.sources.iter().map(ToString::to_string).collect();
        let objects: serde_json::Map<_, _> = side.objects.iter().map(|(name, id)| (name.clone(), json!(id))).collect();
        json!({ "record": side.id, "sources": sources, "objects": objects })
    };
    let review = |OpenReview { review, sides }: &OpenReview| {
        let records: Vec<_> = sides.iter().map(side).collect();
        json!({ "id": review.id, "object": review.object.name(), "keys": review.keys, "since_ms": review.at_ms, "records": records })
    };
    open.iter().map(review).collect()
}
