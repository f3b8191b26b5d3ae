//! The scopes that a connection's credentials need. They follow from what the configuration reads and writes there, and are never
//! wider.

use std::collections::BTreeSet;

use providers::{Auth, EventAction, Provider};

use crate::config::{Connection, Hub};

/// The native objects that the hub reads and writes at a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectsInUse {
    /// Read: swept, read because an event names them, or looked up before a write.
    pub read: BTreeSet<String>,
    /// Written.
    pub written: BTreeSet<String>,
}

impl ObjectsInUse {
    /// Those of a connection. Where it names the objects that are swept, these are the ones that it uses; otherwise they are those
    /// that its events make the hub read.
    pub fn of(hub: &Hub, name: &str, connection: &Connection, provider: &Provider) -> ObjectsInUse {
        let written: BTreeSet<String> =
            hub.objects.values().filter_map(|policy| policy.destinations.get(name)).cloned().collect();
        let mut read: BTreeSet<String> = connection.sweep.iter().chain(&written).cloned().collect();
        if connection.source && connection.sweep.is_empty() {
            read.extend(read_for_events(provider));
        }
        ObjectsInUse { read, written }
    }
}

/// The native objects that events make the hub read.
fn read_for_events(provider: &Provider) -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    let Some(events) = &provider.manifest().events else { return objects };
    for rule in events.on.iter().filter(|rule| rule.action == EventAction::Fetch || rule.then_fetch) {
        match &rule.object {
            Some(object) => objects.extend([object.clone()]),
            None if events.objects.is_empty() => objects.extend(provider.manifest().api.fetch.keys().cloned()),
            None => objects.extend(events.objects.values().cloned()),
        }
    }
    objects
}

/// The scopes that the credentials of a connection need, in the words of its provider.
pub fn needed_scopes(hub: &Hub, name: &str, connection: &Connection, provider: &Provider, auth: &Auth) -> BTreeSet<String> {
    let declared = &provider.manifest().api.scopes;
    let used = ObjectsInUse::of(hub, name, connection, provider);
    let read = used.read.iter().filter_map(|object| declared.get(object)).flat_map(|scopes| &scopes.read);
    let written = used.written.iter().filter_map(|object| declared.get(object)).flat_map(|scopes| &scopes.write);
    let webhooks = provider.manifest().api.webhooks.iter().filter(|_| connection.source).flat_map(|webhooks| &webhooks.scopes);
    auth.scopes.iter().chain(read).chain(written).chain(webhooks).cloned().collect()
}

/// The scopes of a text, whatever the provider writes between them.
pub fn split_scopes(text: &str) -> BTreeSet<String> {
    text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// The needed scopes that were not granted. Those that the form always requests are left out, because several providers do not tell
/// them (`offline_access`); some write the address of the resource before a scope.
pub fn missing_scopes(auth: &Auth, needed: &BTreeSet<String>, granted: &BTreeSet<String>) -> Vec<String> {
    let has = |scope: &String| granted.iter().any(|own| own == scope || own.ends_with(&format!("/{scope}")));
    needed.iter().filter(|scope| !auth.scopes.contains(scope) && !has(scope)).cloned().collect()
}
