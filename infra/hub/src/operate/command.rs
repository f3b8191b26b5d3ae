//! The operators' commands, from their arguments to their output.

use std::process::ExitCode;

use canonical::ObjectType;
use sync::config::Hub;
use sync::failure::Failure;
use sync::record::journal::{day, retained_events};
use sync::seal::Vault;

use super::text::instant;
use super::{Ports, control, dlq, explain, status};
use crate::cli::{DlqAction, DlqArgs, ExplainArgs, KeptArgs, PauseArgs, ResumeArgs, StatusArgs};
use crate::config::finding::suggestion;
use crate::out::CommandError;

fn backend(failure: Failure) -> CommandError {
    CommandError::Backend(format!("{failure} (docs/errors/{}.md)", failure.code))
}

/// `hub explain`.
pub async fn explain<P: Ports>(ports: &P, hub: &Hub, args: &ExplainArgs) -> Result<ExitCode, CommandError> {
    let names = ObjectType::ALL.iter().map(|o| o.name());
    let object: ObjectType = args.object.parse().map_err(|_| {
        CommandError::Usage(format!("`{}` is no canonical object; {}", args.object, suggestion(&args.object, names)))
    })?;
    if let Some(field) = args.field.as_deref().filter(|field| canonical::find_field(object, field).is_none()) {
        let names: Vec<&str> = canonical::fields_of(object).map(|f| f.name).collect();
        return Err(CommandError::Usage(format!("`{object}` has no field `{field}`; {}", suggestion(field, names))));
    }
    let vault = Vault::open(ports).await.map_err(backend)?;
    match explain::find(ports, &vault, hub, object, &args.key).await.map_err(backend)? {
        Some(story) => {
            print!("{}", explain::render(&story, hub, args.field.as_deref()));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let keys = hub.object(object).keys.join(", ");
            eprintln!("no {object} is known by `{}`", args.key);
            eprintln!("  help: give its id, connection/object/id, or an identity value ({keys})");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `hub kept`.
pub async fn kept<P: Ports>(ports: &P, hub: &Hub, args: &KeptArgs) -> Result<ExitCode, CommandError> {
    if !hub.connections.contains_key(args.connection.as_str()) {
        let names = hub.connections.keys().map(|name| name.as_str());
        let help = suggestion(&args.connection, names);
        return Err(CommandError::Usage(format!("there is no connection `{}`; {help}", args.connection)));
    }
    let vault = Vault::open(ports).await.map_err(backend)?;
    let today = day(ports.now_ms());
    for ago in (0..i64::from(args.days.max(1))).rev() {
        for event in retained_events(ports, &vault, &args.connection, today - ago).await.map_err(backend)? {
            println!("{} {} {}", instant(event.received_at_ms), event.event_type, event.event);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `hub status`.
pub async fn status<P: Ports>(ports: &P, hub: &Hub, args: &StatusArgs) -> Result<ExitCode, CommandError> {
    let accounts = status::accounts(ports, hub, args.days).await.map_err(backend)?;
    print!("{}", status::render(&accounts));
    Ok(ExitCode::SUCCESS)
}

/// `hub pause`.
pub async fn pause<P: Ports>(ports: &P, hub: &Hub, args: &PauseArgs) -> Result<ExitCode, CommandError> {
    control::pause(ports, hub, &args.connection, &args.reason).await.map_err(backend)?;
    println!("{} is paused; what is meant for it is held until `hub resume {}`", args.connection, args.connection);
    Ok(ExitCode::SUCCESS)
}

/// `hub resume`.
pub async fn resume<P: Ports>(ports: &P, hub: &Hub, args: &ResumeArgs) -> Result<ExitCode, CommandError> {
    let sent = control::resume(ports, hub, &args.connection).await.map_err(backend)?;
    println!("{} goes on; {sent} held messages are on their way", args.connection);
    Ok(ExitCode::SUCCESS)
}

/// `hub dlq`.
pub async fn dlq<P: Ports>(ports: &P, hub: &Hub, args: &DlqArgs) -> Result<ExitCode, CommandError> {
    let (queue, id) = match &args.action {
        DlqAction::List { queue } => (queue, None),
        DlqAction::Show { queue, id, .. } => (queue, Some(id)),
        DlqAction::Redrive { queue, id, .. } => (queue, id.as_ref()),
    };
    let queues = match queue {
        Some(name) => vec![dlq::queue_named(hub, name).map_err(|f| CommandError::Usage(f.detail))?],
        None => dlq::queues(hub),
    };
    let all = dlq::look(ports, &queues).await.map_err(backend)?;
    let code = match &args.action {
        DlqAction::Redrive { code, .. } => code.as_deref(),
        _ => None,
    };
    let (chosen, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|m| id.is_none_or(|id| m.delivery.id.starts_with(id.as_str())) && code.is_none_or(|code| m.code() == code));
    dlq::release(ports, &others).await;
    if let (Some(id), true) = (id, chosen.is_empty()) {
        eprintln!("no parked message has an id that begins with `{id}`");
        return Ok(ExitCode::FAILURE);
    }
    match &args.action {
        DlqAction::List { .. } => {
            dlq::release(ports, &chosen).await;
            print!("{}", dlq::render(&chosen));
        }
        DlqAction::Show { reveal, .. } => {
            dlq::release(ports, &chosen).await;
            let texts: Vec<String> = chosen.iter().map(|message| dlq::show(message, *reveal)).collect();
            print!("{}", texts.join("\n"));
        }
        DlqAction::Redrive { .. } => {
            let sent = dlq::redrive(ports, &chosen).await.map_err(backend)?;
            println!("{sent} messages are on their way back");
        }
    }
    Ok(ExitCode::SUCCESS)
}
