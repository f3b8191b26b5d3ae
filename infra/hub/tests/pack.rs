//! Functions can open the packed configuration, and it holds what the file sets.

use hub::config::{Changes, DEFAULT, Loaded, pack};
use sync::config::{Bucket, Config, EffectValue, Survivorship};

fn open(changes: &Changes) -> Config {
    Config::open(pack(changes).unwrap_or_else(|e| panic!("{e}"))).expect("a pack")
}

#[test]
fn the_default_is_sound_against_the_providers_folders() {
    let loaded = Loaded::new("hub.toml", DEFAULT.to_owned(), None);
    assert_eq!(loaded.errors(), 0, "{}", loaded.report(false));
    let warnings: Vec<&str> = loaded.diagnostics.iter().map(|warning| warning.message.as_str()).collect();
    let placeholder = "`example.my.salesforce.com` is a placeholder: on AWS the connection `salesforce` would call nobody";
    assert_eq!(warnings, [placeholder], "only a person knows the host of the own account");
}

#[test]
fn the_pack_holds_what_the_file_sets() {
    let config = open(&Changes::default());
    let hub = config.hub();
    let contact = hub.object(canonical::ObjectType::Contact);
    assert_eq!(contact.destinations["salesforce"], "Contact");
    assert_eq!((&*contact.strong, &*contact.weak, contact.people_per_value), (&["email".into()][..], &["phone".into()][..], 1));
    assert_eq!(contact.rule("phone").0, &Survivorship::Prefer(vec!["form".into()]));
    assert_eq!(contact.rule("website").0, &Survivorship::Latest);
    assert_eq!(hub.retry.schedule_s, [60, 300, 1800]);
    assert!(hub.effects.iter().any(|e| e.set.get("stage") == Some(&EffectValue::Text("closed_won".to_owned()))));
    for name in hub.connections.keys() {
        let (connection, provider) = config.connection(name).expect("every connection opens");
        assert_eq!(provider.manifest().provider.name, connection.provider);
    }
}

/// No window of the provider's length may see more requests than the account allows.
#[test]
fn a_rate_never_lets_more_through_than_the_account_allows() {
    let config = open(&Changes::default());
    for (name, provider, window_s, calls) in
        [("hubspot", "account", 10.0, 100.0), ("hubspot", "search", 1.0, 5.0), ("salesforce", "daily", 86_400.0, 100_000.0)]
    {
        let connection = &config.hub().connections[name];
        let bucket = connection.buckets.iter().find(|bucket| bucket.name == provider).expect("a bucket of the manifest");
        assert!(f64::from(bucket.burst) + bucket.per_second * window_s <= calls + 0.001, "{bucket:?}");
        assert_eq!(bucket.path.is_empty(), provider != "search");
    }
    let own = DEFAULT.replace("roles = [\"destination\"]", "roles = [\"destination\"]\nrate = { requests = 10, per = \"1s\" }");
    let pack = Loaded::new("hub.toml", own, None).pack(&Changes::default()).expect("sound");
    let buckets = Config::open(pack).expect("a pack").hub().connections["salesforce"].buckets.clone();
    assert_eq!(buckets, [Bucket::of("rate", 10, 1_000)], "the account's own rate replaces the manifest's");
}

#[test]
fn a_local_stack_has_other_urls_and_runs_the_schedule_in_seconds() {
    let url = "http://127.0.0.1:4001".to_owned();
    let changes = Changes { base_urls: [("hubspot".to_owned(), url.clone())].into(), speed: Some(60), ..Changes::default() };
    let config = open(&changes);
    assert_eq!(config.hub().connections["hubspot"].base_url, url);
    assert_eq!(config.hub().connections["salesforce"].base_url, "https://example.my.salesforce.com");
    assert_eq!(config.hub().retry.speed, 60);
}

#[test]
fn a_configuration_with_errors_is_not_packed() {
    let loaded = Loaded::new("hub.toml", DEFAULT.replace("\"stripe\"]", "\"strip\"]"), None);
    assert!(loaded.pack(&Changes::default()).is_err());
}

#[test]
fn a_connection_has_its_own_topics_and_versions() {
    let with = |connection: &str| {
        let text = DEFAULT.replace("[connections.stripe]", &format!("{connection}\n\n[connections.stripe]"));
        Loaded::new("hub.toml", text, None).pack(&Changes::default()).map(|pack| Config::open(pack).expect("a pack"))
    };
    let ses = |signature: &str| {
        format!(
            "[connections.mail]\nprovider = \"amazon-ses\"\nroles = [\"source\"]\nlane = \"bulk\"\nowner = \"marketing\"\nsla = \"10m\"\n{signature}"
        )
    };
    let config = with(&ses("signature = { topics = [\"arn:aws:sns:eu-central-1:210987654321:mail\"] }")).expect("sound");
    let (_, provider) = config.connection("mail").expect("it opens");
    let webhook::Scheme::Sns(sns) = &provider.manifest().webhook.scheme else { panic!("another scheme") };
    assert_eq!(sns.topics, ["arn:aws:sns:eu-central-1:210987654321:mail"]);
    assert!(with(&ses("signature = { accept = [\"v1\"] }")).is_err(), "it has no versions");
}
