//! The scopes that credentials need follow from the configuration: objects and directions in use, never wider.

use hub::config::{DEFAULT_PATH, Loaded};
use sync::config::Config;
use sync::scopes::needed_scopes;

/// The scopes of a connection's first form.
fn scopes(configuration: &str, connection: &str) -> Vec<String> {
    let loaded = Loaded::new(DEFAULT_PATH, configuration.to_owned(), None);
    let config = Config::open(loaded.pack(&hub::config::Changes::default()).unwrap()).unwrap();
    let (settings, provider) = config.connection(connection).unwrap();
    let form = &provider.manifest().api.auth[0];
    needed_scopes(config.hub(), connection, settings, &provider, form).into_iter().collect()
}

/// A hub with one HubSpot account, and with these lines in its section.
fn hubspot(lines: &str, destinations: &str) -> String {
    format!(
        "[connections.hubspot]\nprovider = \"hubspot\"\nbase_url = \"https://api.hubapi.com\"\nsigning_secret = \"hubspot/signing\"\n\
         api_secret = \"hubspot/api\"\nowner = \"x\"\n{lines}\n[destinations]\n{destinations}\n[purposes]\ncontact = \"x\"\n\
         [survivorship]\ndefault = \"latest\"\n"
    )
}

#[test]
fn what_is_only_read_needs_no_scope_to_write() {
    let read = hubspot("roles = [\"source\"]\nsweep = [\"contacts\"]", "");
    assert_eq!(scopes(&read, "hubspot"), ["crm.objects.contacts.read"]);
    let written = hubspot("roles = [\"destination\"]", "contact = { hubspot = \"contacts\" }");
    assert_eq!(scopes(&written, "hubspot"), ["crm.objects.contacts.read", "crm.objects.contacts.write"]);
}

#[test]
fn what_events_make_the_hub_read_needs_its_scopes() {
    let configuration = "[connections.graph]\nprovider = \"microsoft-graph\"\nroles = [\"source\"]\naccount = \"a@b.example\"\n\
                         signing_secret = \"graph/signing\"\napi_secret = \"graph/api\"\nowner = \"x\"\n[destinations]\n[survivorship]\n\
                         default = \"latest\"\n";
    assert_eq!(scopes(configuration, "graph"), ["Calendars.Read", "Contacts.Read", "Mail.Read"]);
}
