//! `hub check --live` against the stand-ins of the CRMs.

use std::cell::RefCell;

use hub::config::{Changes, DEFAULT, Loaded};
use hub::live::{examine, render};
use providers::http::{HttpRequest, HttpResponse};
use sandbox::{HubSpot, Kind, Property, Request, Salesforce, Sandbox, hubspot, salesforce};
use sync::config::Config;
use sync::ports::{Clock, Http, HttpError, PortError, SecretSet, Secrets};

const NOW_MS: i64 = 1_769_851_800_000;

/// Both accounts, and a clock.
struct Twin {
    hubspot: RefCell<HubSpot>,
    salesforce: RefCell<Salesforce>,
    date: &'static str,
    token: &'static str,
}

impl Clock for Twin {
    fn now_ms(&self) -> i64 {
        NOW_MS
    }
    fn random(&self) -> u64 {
        4
    }
    fn fill_secret(&self, _buffer: &mut [u8]) {}
    async fn sleep(&self, _ms: u64) {}
}

impl Secrets for Twin {
    async fn secret(&self, _name: &str, _fresh: bool) -> Result<SecretSet, PortError> {
        let current = Some(format!("{{\"access_token\": \"{}\"}}", self.token));
        Ok(SecretSet { current, ..SecretSet::default() })
    }
}

impl Http for Twin {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let requested = Request::new(request.method, &request.url, &request.headers, &request.body);
        let response = if request.url.contains("hubapi") {
            self.hubspot.borrow_mut().handle(&requested, NOW_MS)
        } else {
            self.salesforce.borrow_mut().handle(&requested, NOW_MS)
        };
        let mut headers: Vec<_> = response.headers.clone();
        headers.push(("date".to_owned(), self.date.to_owned()));
        Ok(HttpResponse { status: response.status, headers, body: response.body })
    }
}

fn twin(hubspot: hubspot::Options) -> Twin {
    let tokens = vec!["good".to_owned()];
    let salesforce = salesforce::Options { tokens: tokens.clone(), ..salesforce::Options::with_hub_id("CrmHubId__c") };
    Twin {
        hubspot: RefCell::new(HubSpot::new(hubspot::Options { tokens, ..hubspot })),
        salesforce: RefCell::new(Salesforce::new(salesforce)),
        date: "Sat, 31 Jan 2026 09:30:05 GMT",
        token: "good",
    }
}

fn account() -> hubspot::Options {
    hubspot::Options::with_hub_id("crm_hub_id")
}

async fn report(twin: &Twin) -> String {
    report_of(twin, &Loaded::new("hub.toml", DEFAULT.to_owned(), None)).await
}

async fn report_of(twin: &Twin, loaded: &Loaded) -> String {
    let pack = loaded.pack(&Changes::default()).expect("a pack");
    let config = Config::open(pack).expect("opened");
    render(&examine(twin, &config).await.expect("examined"))
}

#[tokio::test]
async fn accounts_that_fit_have_no_findings() {
    let report = report(&twin(account())).await;
    assert!(!report.contains("!!"), "{report}");
    for note in ["the clocks agree", "the token has every scope", "contacts: every mapped property", "Opportunity: every mapped"]
    {
        assert!(report.contains(note), "{note}: {report}");
    }
}

#[tokio::test]
async fn what_an_account_lacks_is_found() {
    let mut options = account()
        .define("contacts", "lifecyclestage", Property::of(Kind::Enum(vec!["lead".to_owned()])))
        .define("contacts", "phone", Property { read_only: true, ..Property::of(Kind::Text) })
        .define("contacts", "city", Property::of(Kind::Number))
        .define("deals", "crm_hub_id", Property::of(Kind::Text));
    options.scopes.retain(|scope| scope != "crm.objects.deals.write");
    options.objects.get_mut("companies").expect("companies").properties.remove("website");
    let report = report(&Twin { date: "Sat, 31 Jan 2026 09:40:00 GMT", ..twin(options) }).await;
    for finding in [
        "the clocks are 600 s apart",
        "the token lacks scopes: crm.objects.deals.write",
        "`customer` is no option of `lifecyclestage`",
        "`phone` may not be written",
        "`city` has another type there",
        "deals: `crm_hub_id` is not unique",
        "companies: `website` is mapped and does not exist there",
    ] {
        assert!(report.contains(finding), "{finding}: {report}");
    }
}

#[tokio::test]
async fn a_property_that_a_users_file_names_must_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let mapping = "[contact.fields]\nlead_source = { from = \"properties.our_source\", direction = \"in\", why = \"ours\" }\n";
    std::fs::write(folder.path().join("contacts.map.toml"), mapping).expect("written");
    let old = "[connections.hubspot]\n";
    let text = DEFAULT.replace(old, &format!("{old}mappings = {{ contacts = \"contacts.map.toml\" }}\n"));
    let report = report_of(&twin(account()), &Loaded::new("hub.toml", text, Some(folder.path()))).await;
    assert!(report.contains("!!  contacts: `our_source` is mapped and does not exist there"), "{report}");
}

#[tokio::test]
async fn a_refused_token_is_found_once_for_each_account() {
    let report = report(&Twin { token: "stolen", ..twin(account()) }).await;
    assert_eq!(report.matches("the account refuses the call").count(), 2, "{report}");
    assert!(!report.contains("stolen"), "no secret is shown: {report}");
}
