//! `hub connect` and `hub disconnect` against stand-ins: consent in a browser, apps, fixed keys, and the registration of webhooks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use hub::config::{Changes, Loaded};
use hub::connect::guide::Plan;
use hub::connect::input::Input;
use hub::connect::webhooks::Registration;
use hub::connect::{Browser, FormName, choose, connect};
use hub::operate::connections::{accounts, as_json, render};
use providers::Grant;
use providers::http::{HttpRequest, HttpResponse};
use sandbox::registration::{Kind, Registry};
use sandbox::{HubSpot, Request, consent, hubspot, tokens};
use sync::config::Config;
use sync::credential::Credential;
use sync::pause::{pause_until_connected, paused};
use sync::ports::{Http, HttpError, SecretVersions, Secrets};
use sync::scopes::needed_scopes;
use testkit::twin::Twin;

const NOW_MS: i64 = 1_769_851_800_000;
const SECRET: &str = "hubspot/api";

/// A hub with one HubSpot account that is read.
const HUBSPOT: &str = "[connections.hubspot]\nprovider = \"hubspot\"\nroles = [\"source\"]\nbase_url = \"https://api.hubapi.com\"\n\
                       signing_secret = \"hubspot/signing\"\napi_secret = \"hubspot/api\"\nsweep = [\"contacts\"]\nowner = \"x\"\n\
                       [destinations]\n[survivorship]\ndefault = \"latest\"\n";

fn config(text: &str) -> Config {
    let loaded = Loaded::new("hub.toml", text.to_owned(), None);
    let auth_urls = BTreeMap::from([("hubspot".to_owned(), "https://api.hubapi.com".to_owned())]);
    Config::open(loaded.pack(&Changes { auth_urls, ..Changes::default() }).unwrap()).unwrap()
}

/// An account whose app has registered the redirect of this port.
fn twin(refuses: bool) -> Twin {
    let twin = Twin::at(NOW_MS);
    let mut consent = consent::Consent::new("/oauth/authorize", &["http://localhost:8482/callback"]);
    consent.scopes = vec!["oauth".to_owned(), "crm.objects.contacts.read".to_owned()];
    consent.refuses = refuses;
    let endpoint = tokens::Options {
        path: "/oauth/v3/token".to_owned(),
        client_id: "app".to_owned(),
        client_secret: "app-secret".to_owned(),
        consent: Some(consent),
        ..tokens::Options::default()
    };
    let options = hubspot::Options {
        endpoint: Some(endpoint),
        tokens: vec!["fixed".to_owned()],
        ..hubspot::Options::with_hub_id("crm_hub_id")
    };
    twin.crms.borrow_mut().0.insert("api.hubapi.com".to_owned(), Box::new(HubSpot::new(options)));
    twin.set_secret(SECRET, "{\"access_token\":\"generated\"}");
    twin.set_secret("hubspot/signing", "generated");
    twin
}

fn piped(members: &[(&str, &str)]) -> Input {
    Input::Piped(members.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn stored(twin: &Twin) -> Credential {
    let set = testkit::twin::finish(twin.secret(SECRET, true)).unwrap();
    Credential::parse(&set.current.unwrap()).unwrap()
}

/// Fetches a page as a browser does, and returns its status and its text.
fn visit(url: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let port = host.rsplit_once(':').unwrap().1;
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

/// A person who opens the address: first at the provider, then where the provider sends the browser. `before` may visit other pages.
fn person<'t>(twin: &'t Twin, before: fn(&str), pages: mpsc::Sender<(u16, String)>) -> impl Fn(&str) + 't {
    move |url: &str| {
        let request = Request::new("GET", url, &[], b"");
        let answer = twin.crms.borrow_mut().0.get_mut("api.hubapi.com").unwrap().handle(&request, NOW_MS);
        assert_eq!(answer.status, 302, "{answer:?}");
        let location = answer.header("location").unwrap().to_owned();
        let pages = pages.clone();
        std::thread::spawn(move || {
            before(&location);
            let _ = pages.send(visit(&location));
        });
    }
}

async fn run(twin: &Twin, config: &Config, form: FormName, input: &Input, show: &dyn Fn(&str)) -> Result<usize, String> {
    let (connection, provider) = config.connection("hubspot").unwrap();
    let (auth, grant) = choose(&provider, "hubspot", Some(form), None).map_err(|e| e.to_string())?;
    let scopes = auth.map(|auth| needed_scopes(config.hub(), "hubspot", connection, &provider, auth)).unwrap_or_default();
    let plan = Plan { name: "hubspot", connection, provider: &provider, auth, grant, scopes, public_url: None };
    let browser = Browser { port: Some(0), paste: false, limit: Duration::from_secs(5), show };
    connect(twin, &plan, input, browser).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_person_agrees_in_the_browser() {
    let (twin, config, (pages, shown)) = (twin(false), config(HUBSPOT), mpsc::channel());
    pause_until_connected(&twin, "hubspot", "the grant is gone", "first").await.unwrap();
    let show = person(&twin, |_| {}, pages);
    let input = piped(&[("client_id", "app"), ("client_secret", "app-secret"), ("signing_secret", "new-signing")]);
    assert_eq!(run(&twin, &config, FormName::Oauth2, &input, &show).await, Ok(0));
    let (status, page) = shown.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(status == 200 && page.contains("HubSpot is connected"), "{page}");
    assert!(page.contains("referrer-policy: no-referrer") && page.contains("cache-control: no-store"), "{page}");
    let credential = stored(&twin);
    assert_eq!((credential.grant, credential.client_id.as_deref()), (Some(Grant::RefreshToken), Some("app")));
    assert!(credential.refresh_token.is_some() && credential.expires_at.is_some_and(|at| at > NOW_MS));
    assert_eq!(credential.scope.as_deref(), Some("crm.objects.contacts.read oauth"), "what is read, and no more");
    assert_eq!(paused(&twin, "hubspot").await.unwrap(), None, "the pause because of the credentials has ended");
    assert_eq!(twin.secret("hubspot/signing", true).await.unwrap().current.as_deref(), Some("new-signing"));
}

#[tokio::test]
async fn an_answer_with_another_state_changes_nothing_and_the_command_waits_on() {
    let (twin, config, (pages, shown)) = (twin(false), config(HUBSPOT), mpsc::channel());
    let wrong = |location: &str| {
        let base = location.split('?').next().unwrap();
        let (status, page) = visit(&format!("{base}?code=stolen&state=other"));
        assert!(status == 400 && page.contains("not for the running command") && !page.contains("stolen"), "{page}");
        assert_eq!(visit(&base.replace("/callback", "/other")).0, 404);
    };
    let show = person(&twin, wrong, pages);
    let input = piped(&[("client_id", "app"), ("client_secret", "app-secret")]);
    assert_eq!(run(&twin, &config, FormName::Oauth2, &input, &show).await, Ok(0));
    assert_eq!(shown.recv_timeout(Duration::from_secs(5)).unwrap().0, 200);
}

#[tokio::test]
async fn a_person_who_refuses_sees_it_and_nothing_is_stored() {
    let (twin, config, (pages, shown)) = (twin(true), config(HUBSPOT), mpsc::channel());
    let show = person(&twin, |_| {}, pages);
    let input = piped(&[("client_id", "app"), ("client_secret", "app-secret")]);
    let error = run(&twin, &config, FormName::Oauth2, &input, &show).await.unwrap_err();
    assert!(error.starts_with("the person did not agree") && error.ends_with("nothing was stored"), "{error}");
    let (status, page) = shown.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(status == 400 && page.contains("HubSpot is not connected"), "{page}");
    assert_eq!(stored(&twin).access_token, "generated");
}

#[tokio::test]
async fn two_people_do_not_overwrite_each_other() {
    let (twin, config, (pages, _shown)) = (twin(false), config(HUBSPOT), mpsc::channel());
    let agree = person(&twin, |_| {}, pages);
    let show = |url: &str| {
        let id = twin.secret_name(SECRET);
        testkit::twin::finish(twin.put_pending(&id, "theirs", "{\"access_token\":\"theirs\"}")).unwrap();
        testkit::twin::finish(twin.promote(&id, "theirs", Some("first"))).unwrap();
        agree(url);
    };
    let input = piped(&[("client_id", "app"), ("client_secret", "app-secret")]);
    let error = run(&twin, &config, FormName::Oauth2, &input, &show).await.unwrap_err();
    assert!(error.contains("somebody else"), "{error}");
    assert_eq!(stored(&twin).access_token, "theirs");
}

#[tokio::test]
async fn a_key_that_is_refused_replaces_nothing() {
    let (twin, config) = (twin(false), config(HUBSPOT));
    let error = run(&twin, &config, FormName::Bearer, &piped(&[("access_token", "wrong")]), &|_| {}).await.unwrap_err();
    assert_eq!(error, "the account refuses the read with status 401; nothing was stored");
    assert_eq!(stored(&twin).access_token, "generated");
    assert_eq!(run(&twin, &config, FormName::Bearer, &piped(&[("access_token", "fixed")]), &|_| {}).await, Ok(0));
    assert_eq!(stored(&twin).access_token, "fixed");
    let error = run(&twin, &config, FormName::Bearer, &piped(&[]), &|_| {}).await.unwrap_err();
    assert!(error.starts_with("there is no token or key; pipe JSON on standard input"), "{error}");
}

#[test]
fn a_way_that_the_provider_does_not_take_is_named_with_those_that_it_takes() {
    let config = config(HUBSPOT);
    let (_, provider) = config.connection("hubspot").unwrap();
    let error = choose(&provider, "hubspot", Some(FormName::Basic), None).unwrap_err().to_string();
    assert_eq!(error, "`hubspot` cannot be connected in this way; it takes --form bearer, --grant refresh_token");
}

/// The calls of a provider.
struct Account(RefCell<Registry>);

impl Http for Account {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.borrow_mut().handle(&Request::new(request.method, &request.url, &request.headers, &request.body));
        Ok(HttpResponse { status: response.status, headers: response.headers, body: response.body })
    }
}

#[tokio::test]
async fn webhooks_are_registered_once_and_repaired_and_removed() {
    let all = [("stripe", Kind::Stripe, 1, true), ("pipedrive", Kind::Pipedrive, 6, false), ("zendesk", Kind::Zendesk, 1, true)];
    for (name, kind, subscriptions, tells_secret) in all {
        let text = format!(
            "[connections.{name}]\nprovider = \"{name}\"\nroles = [\"source\"]\nbase_url = \"https://{name}.example/api/v2\"\n\
             signing_secret = \"{name}/signing\"\napi_secret = \"{name}/api\"\nowner = \"x\"\n[destinations]\n[survivorship]\n\
             default = \"latest\"\n"
        );
        let text = if kind == Kind::Pipedrive { text } else { text.replace("/api/v2", "") };
        let config = config(&text);
        let (connection, provider) = config.connection(name).unwrap();
        let account = Account(RefCell::new(Registry::new(kind, "key")));
        let credential = Credential { access_token: "key".to_owned(), ..Credential::default() };
        // Zendesk's registry takes a bearer token, as OAuth gives it.
        let grant = Some(Grant::ClientCredentials).filter(|_| kind == Kind::Zendesk);
        let client = grant.map(|_| "c".to_owned());
        let credential = Credential { grant, client_id: client.clone(), client_secret: client, ..credential };
        let plan = Plan {
            name,
            connection,
            provider: &provider,
            auth: None,
            grant: None,
            scopes: std::collections::BTreeSet::new(),
            public_url: Some("https://hub.example".to_owned()),
        };
        let url = plan.webhook_url().unwrap();
        let registration = Registration::new(&account, &plan, &credential, &url, "user:password").unwrap();
        let first = registration.register().await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((first.changed, first.present), (subscriptions, subscriptions), "{name}");
        assert_eq!(first.secret.is_some(), tells_secret, "{name}");
        let second = registration.register().await.unwrap();
        assert_eq!((second.changed, second.present, second.secret), (0, subscriptions, None), "{name}: nothing is left to do");
        account.0.borrow_mut().switch_off();
        assert!(registration.register().await.unwrap().changed > 0, "{name}: it is repaired");
        registration.remove().await.unwrap();
        assert!(account.0.borrow().webhooks().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn connections_show_how_long_a_token_is_good_and_what_it_lacks() {
    let (twin, config) = (twin(false), config(HUBSPOT));
    let credential = Credential {
        access_token: "secret-token".to_owned(),
        refresh_token: Some("secret-refresh".to_owned()),
        client_id: Some("app".to_owned()),
        grant: Some(Grant::RefreshToken),
        expires_at: Some(NOW_MS + 1_800_000),
        scope: Some("oauth crm.objects.deals.read".to_owned()),
        ..Credential::default()
    };
    twin.set_secret(SECRET, &credential.to_secret());
    pause_until_connected(&twin, "hubspot", "the grant is gone", "first").await.unwrap();
    let accounts = accounts(&twin, &config).await.unwrap();
    let text = render(&accounts, NOW_MS);
    for part in [
        "good until 2026-01-31T10:00:00Z (app with OAuth, refreshed by the hub)",
        "2 needed, missing: crm.objects.contacts.read",
        "none within three days",
        "the grant is gone",
    ] {
        assert!(text.replace("\n              ", " ").contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80) && !text.contains("secret-"), "{text}");
    let json = as_json(&accounts).to_string();
    assert!(json.contains("\"scopes_missing\":[\"crm.objects.contacts.read\"]") && !json.contains("secret-"), "{json}");
}
