//! From the text of `hub.toml` to what the functions read, as far as this is possible without the providers' folders.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Catalogue, ConnectionName, ObjectType};
use mapping::file::{Diagnostic, Report, Source, Span, Spanned, read};
use sync::config::Hub;

use super::connection::{ConnectionOverride, check_name, connection, connection_override};
use super::context::Context;
use super::effects::effects;
use super::file::{ConfigurationFile, ConnectionTable};
use super::own_fields::own_fields;
use super::secrets::{self, SecretUse};
use super::{bounds, keys, policy};

/// The content of `hub.toml`, with the positions that later checks point at.
#[derive(Debug)]
pub struct Compiled {
    /// What the functions read.
    pub hub: Hub,
    /// How long the oldest message of a connection may wait, in milliseconds.
    pub slas: BTreeMap<String, u64>,
    /// How long a source may be silent, in milliseconds.
    pub quiets: BTreeMap<String, u64>,
    /// Why personal data of an object may go to destinations.
    pub purposes: BTreeMap<ObjectType, String>,
    /// Connections whose signing secret the hub issues itself, and rotates.
    pub rotating: BTreeSet<String>,
    /// Connections whose provider gives access tokens that `rotate` can refresh.
    pub refreshed: BTreeSet<String>,
    /// How each connection differs from its provider's folder.
    pub overrides: BTreeMap<String, ConnectionOverride>,
    /// Positions in the file.
    pub positions: Positions,
}

/// Positions in the file.
#[derive(Debug, Default)]
pub struct Positions {
    /// A connection's provider.
    pub providers: BTreeMap<String, Span>,
    /// A canonical object's native object at a connection.
    pub destinations: BTreeMap<(ObjectType, ConnectionName), Span>,
    /// Fields of one's own.
    pub fields: BTreeMap<(ObjectType, String), Span>,
    /// Native objects that are swept, with their connection.
    pub sweeps: Vec<(ConnectionName, Spanned<String>)>,
    /// The names of secrets, in the order of the file.
    pub secrets: Vec<SecretUse>,
    /// A connection's base URL.
    pub base_urls: BTreeMap<String, Span>,
}

/// Compiles a file. Without errors among the diagnostics, the result is complete; it is `None` when the file is not TOML.
pub fn compile(source: &Source, providers: &[&str]) -> (Option<Compiled>, Vec<Diagnostic>) {
    let mut report = Report::new(source.clone());
    let file: Option<ConfigurationFile> = read(&keys::CONFIGURATION, &mut report);
    secrets::check_text(&mut report);
    let compiled = file.map(|file| compile_file(file, &mut report, providers));
    (compiled, report.into_sorted())
}

fn compile_file(file: ConfigurationFile, report: &mut Report, providers: &[&str]) -> Compiled {
    let mut compiled = Compiled {
        hub: Hub {
            generation: file.generation.unwrap_or(NOT_NUMBERED),
            connections: BTreeMap::new(),
            fields: Catalogue::default(),
            objects: BTreeMap::new(),
            effects: Vec::new(),
            limits: bounds::limits(&file.limits, report),
            retry: bounds::retry(file.retry, report),
            fuses: bounds::fuses(&file.fuses),
            journal_days: bounds::journal_days(&file.journal, report),
        },
        slas: BTreeMap::new(),
        quiets: BTreeMap::new(),
        purposes: BTreeMap::new(),
        rotating: BTreeSet::new(),
        refreshed: BTreeSet::new(),
        overrides: BTreeMap::new(),
        positions: Positions::default(),
    };
    for (name, table) in file.connections.0 {
        add_connection(&name, table, providers, report, &mut compiled);
    }
    secrets::check_names(&compiled.positions.secrets, report);
    let mut context = Context { report, connections: &compiled.hub.connections, catalogue: Catalogue::default() };
    context.catalogue = Catalogue::with(&own_fields(&mut context, file.fields, &mut compiled.positions.fields));
    compiled.hub.fields = context.catalogue;
    policy::destinations(&mut context, file.destinations, &mut compiled.hub.objects, &mut compiled.positions.destinations);
    policy::identity(&mut context, file.identity, &mut compiled.hub.objects);
    policy::survivorship(&mut context, file.survivorship, &mut compiled.hub.objects);
    compiled.purposes = policy::purposes(&mut context, file.purposes);
    compiled.hub.effects = effects(&mut context, file.effects);
    compiled
}

fn add_connection(
    name: &Spanned<String>,
    table: Spanned<ConnectionTable>,
    providers: &[&str],
    report: &mut Report,
    compiled: &mut Compiled,
) {
    check_name(name, report);
    let at = table.span();
    let mut table = table.into_inner();
    let name = name.get_ref();
    compiled.slas.extend(bounds::sla(&table, report).map(|sla| (name.clone(), sla)));
    compiled.quiets.extend(bounds::quiet(&table, report).map(|quiet| (name.clone(), quiet)));
    compiled.positions.secrets.extend(secrets::uses(name, &table));
    compiled.positions.base_urls.extend(table.base_url.as_ref().map(|url| (name.clone(), url.span())));
    if table.rotate_signing_secret {
        compiled.rotating.insert(name.clone());
    }
    compiled.positions.providers.extend(table.provider.as_ref().map(|provider| (name.clone(), provider.span())));
    compiled.positions.sweeps.extend(table.sweep.iter().map(|object| (name.as_str().into(), object.clone())));
    compiled.overrides.insert(name.clone(), connection_override(&mut table));
    if let Some(connection) = connection(name, &at, table, providers, report) {
        compiled.hub.connections.insert(name.as_str().into(), connection);
    }
}

/// The generation of a configuration that does not number itself; packing replaces it.
pub const NOT_NUMBERED: u64 = 0;
