//! Opens a connection's provider with what the configuration changes in it.

use std::path::{Path, PathBuf};

use mapping::file::Report;
use providers::{LoadError, Override, Overrides, Provider, Registry};
use webhook::Scheme;

use super::compile::Compiled;
use super::connection::ConnectionOverride;

/// Opens the provider of a connection. Mapping files of the user are looked for in `folder`.
pub(super) fn open(
    registry: &Registry,
    compiled: &Compiled,
    connection: &str,
    provider: &str,
    folder: Option<&Path>,
    report: &mut Report,
) -> Option<Provider> {
    let own = compiled.overrides.get(connection);
    let mut overrides = own.map_or_else(|| Some(Overrides::default()), |own| mapping_files(own, folder, report))?;
    overrides.catalogue = compiled.hub.fields;
    let at = compiled.positions.providers.get(connection).cloned().unwrap_or(0..0);
    let opened = match registry.open(provider, &overrides) {
        Ok(opened) => opened,
        Err(LoadError::Files(diagnostics)) => {
            diagnostics.0.into_iter().for_each(|diagnostic| report.add_foreign(diagnostic));
            return None;
        }
        Err(other) => {
            report.error(at, other.to_string());
            return None;
        }
    };
    // A zone that does not exist has been reported already.
    let zone = own.and_then(|own| own.time_zone.as_deref()).filter(|zone| mapping::normal::zone(zone).is_ok());
    let opened = match zone {
        Some(zone) => opened.in_time_zone(zone),
        None => Ok(opened),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.error(at, error.to_string());
            return None;
        }
    };
    match own.map_or(Ok(None), |own| webhook(&opened, own)) {
        Ok(None) => Some(opened),
        Ok(Some(webhook)) => Some(opened.with_webhook(webhook)),
        Err(reason) => {
            report.error(at, format!("`signature` of `{connection}`: {reason}"));
            None
        }
    }
}

/// The user's mapping files; `None` when one cannot be read.
fn mapping_files(own: &ConnectionOverride, folder: Option<&Path>, report: &mut Report) -> Option<Overrides> {
    let mut overrides = Overrides::default();
    for (map, file) in &own.mappings {
        let path: PathBuf = folder.unwrap_or(Path::new("")).join(file.get_ref());
        match std::fs::read_to_string(&path) {
            Ok(text) => overrides.maps.push(Override { map: map.clone(), file: path.display().to_string(), text }),
            Err(error) => {
                let message = format!("the mapping file `{}` cannot be read", file.get_ref());
                report.error(file.span(), message).label(error.to_string());
                return None;
            }
        }
    }
    Some(overrides)
}

/// The provider's webhooks with the connection's own signature versions, tolerance and topics; `None` when it has none.
fn webhook(provider: &Provider, own: &ConnectionOverride) -> Result<Option<webhook::Webhook>, String> {
    if own.accept.is_none() && own.tolerance_s.is_none() && own.topics.is_none() {
        return Ok(None);
    }
    let mut webhook = provider.manifest().webhook.clone();
    if let Some(accept) = &own.accept {
        if !matches!(webhook.scheme, Scheme::Versions(_)) {
            return Err("this provider has one signature version, so there is nothing to accept".to_owned());
        }
        webhook.scheme = webhook.scheme.with_versions(accept.clone());
    }
    if let Some(tolerance_s) = own.tolerance_s {
        webhook.scheme = webhook.scheme.with_tolerance(Some(tolerance_s));
    }
    if let Some(topics) = &own.topics {
        if !matches!(webhook.scheme, Scheme::Sns(_)) {
            return Err("this provider does not send by topics of Amazon SNS".to_owned());
        }
        webhook.scheme = webhook.scheme.with_topics(topics.clone());
    }
    webhook.check().map_err(|e| e.to_string())?;
    Ok(Some(webhook))
}
