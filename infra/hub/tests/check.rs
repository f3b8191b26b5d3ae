//! What `hub check` reports about a configuration that is wrong.

use hub::config::{DEFAULT, Loaded, Source, compile, render};

const PROVIDERS: &[&str] = &["generic-form", "hubspot", "salesforce", "stripe"];

fn rendered(text: &str) -> Vec<String> {
    let (_, diagnostics) = compile(&Source::new("hub.toml", text), PROVIDERS);
    diagnostics.iter().map(|diagnostic| render(diagnostic, false)).collect()
}

/// The default with one passage replaced, so that every mistake stands in its natural surroundings.
fn with(old: &str, new: &str) -> Vec<String> {
    assert_eq!(DEFAULT.matches(old).count(), 1, "`{old}` must be in the default exactly once");
    rendered(&DEFAULT.replace(old, new))
}

/// One mistake gives one diagnostic that holds these parts.
fn one(old: &str, new: &str, parts: &[&str]) {
    let all = with(old, new);
    assert_eq!(all.len(), 1, "{new}:\n{}", all.join("\n\n"));
    for part in parts {
        assert!(all[0].contains(part), "`{part}` is not in:\n{}", all[0]);
    }
}

#[test]
fn the_default_has_nothing_wrong() {
    let all = rendered(DEFAULT);
    assert!(all.is_empty(), "{}", all.join("\n\n"));
}

#[test]
fn a_diagnostic_looks_like_a_compilers() {
    let text = "generation = 1\njurnal = { days = 3 }\n[connections]\n";
    let expected = "\
error: a configuration has no key `jurnal`
 --> hub.toml:2:1
  |
2 | jurnal = { days = 3 }
  | ^^^^^^ unknown key
  |
  = help: did you mean `journal`?";
    assert_eq!(rendered(text), [expected]);
}

#[test]
fn what_is_not_toml_is_one_error() {
    let all = rendered("generation = 1\n[connections.x\n");
    assert!(all.len() == 1 && all[0].contains("hub.toml:2:"), "{all:?}");
    one(
        "roles = [\"source\", \"destination\"]",
        "roles = [\"source\", \"destination\"",
        &["this `[` is not closed", ":14:9", "opened here"],
    );
    one("strong = [\"domain\"]\n", "strong = [\"domain\"\n", &["this `[` is not closed", ":81:10"]);
    one(
        "ticket  = { hubspot = \"tickets\",   salesforce = \"Case\" }",
        "ticket = { hubspot = \"tickets\"",
        &["this `{` is not closed"],
    );
    one("[connections.stripe]", "[connections.stripe", &["unclosed table", ":34:20"]);
}

#[test]
fn names_that_do_not_exist_are_suggested() {
    one("jitter_percent = 20", "jitter_pct = 20", &["no key `jitter_pct`", "did you mean `jitter_percent`?"]);
    one("provider = \"stripe\"", "provider = \"strip\"", &["no provider `strip`", "did you mean `stripe`?", ":35:12"]);
    one("prefer = [\"stripe\", \"form\"]", "prefer = [\"stripe\", \"from\"]", &["no connection `from`", "did you mean `form`?"]);
    one("ticket  = { hubspot", "tiket = { hubspot", &["`tiket` is not a canonical object", "did you mean `ticket`?"]);
    one("lead_source   = {", "leadsource = {", &["`contact` has no field `leadsource`", "did you mean `lead_source`?"]);
    one("strong = [\"domain\"]", "strong = [\"domian\"]", &["`company` has no field `domian`", "did you mean `domain`?"]);
    one("status = [\"trialing\"]", "status = [\"trialling\"]", &["never `trialling`", "did you mean `trialing`?"]);
    one("text = \"proposal\"", "text = \"proposed\"", &["`deal.stage` is never `proposed`", "did you mean `proposal`?"]);
    one(
        "rule = \"most_restrictive\", why = \"an opt-out applies everywhere until the person withdraws it\" }\nlead",
        "rule = \"strict\", why = \"x\" }\nlead",
        &["`strict` is not a value of `rule`", "most_restrictive"],
    );
}

#[test]
fn values_of_the_wrong_type_are_shown() {
    one("members = 40 ", "members = \"40\" ", &["`members` must be a whole number", "this is a string"]);
    one("future = \"2m\"", "future = \"2 minutes\"", &["`2 minutes` is not a duration", "10s, 5m, 1h"]);
    one("strong = [\"sku\"]", "strong = [\"price\"]", &["`price` is of kind money and cannot be an identity key"]);
    one("lane = \"urgent\"                          #", "lane = \"fast\" #", &["`fast` is not a value of `lane`"]);
    one("https://api.hubapi.com", "http://api.hubapi.com", &["must be an absolute https URL"]);
    one("https://api.hubapi.com", "https://api.hubapi.com/", &["must not end in a slash"]);
}

#[test]
fn rules_that_cannot_work_are_refused() {
    one("weak = [\"phone\"]", "weak = [\"email\"]", &["`email` is a strong and a weak key", "one of the two lists"]);
    one("strong = [\"email\"]\n", "", &["a weak key without a strong one", "`strong`"]);
    one("people_per_value = 1", "people_per_value = 0", &["`people_per_value`", "1"]);
    one(
        "phone         = { prefer = [\"form\"], why = \"people know their own number best\" }",
        "phone = { prefer = [\"form\"] }",
        &["this field rule has no `why`"],
    );
    one("lead_source   = { rule = \"first\"", "lead_source = { rule = \"union\"", &["`union` is for sets", "of kind text"]);
    one("lead_source   = { rule = \"first\"", "lead_source = { rule = \"most_restrictive\"", &["for levels of consent"]);
    one("balance       = { owner = \"stripe\"", "balance = { owner = \"stripe\", rule = \"first\"", &["exactly one of"]);
    one(
        "deal    = { hubspot = \"deals\",     salesforce",
        "deal = { hubspot = \"deals\", stripe",
        &["`stripe` is not a destination", "add \"destination\""],
    );
}

#[test]
fn connections_that_cannot_work_are_refused() {
    let unsigned = DEFAULT.replace("signing_secret = \"stripe/signing\"\n", "");
    let report = Loaded::new("hub.toml", unsigned, None).report(false);
    assert!(report.contains("`stripe` has no `signing_secret`") && report.contains("stripe/signing"), "{report}");
    one("api_secret = \"salesforce/api\"\n", "", &["`salesforce` has no `api_secret`", "it is written to"]);
    one("owner = \"finance\"\n", "", &["warning: nobody answers for connection `stripe`"]);
    one(
        "roles = [\"destination\"]",
        "roles = [\"destination\", \"sauce\"]",
        &["`sauce` is not a value of `roles`", "did you mean `source`?"],
    );
    let renamed = with("[connections.stripe]", "[connections.Stripe_EU]").join("\n");
    assert!(renamed.contains("`Stripe_EU` cannot be the name of a connection"), "{renamed}");
}

#[test]
fn effects_are_typed() {
    one(
        "lead_source = \"source\"",
        "lead_source = \"contact\"",
        &["`lead.contact` cannot go into `contact.lead_source`", "a reference to a contact"],
    );
    one("email_consent = \"status\"", "email_consent = \"channel\"", &["cannot go into `contact.email_consent`"]);
    one(
        "about = [\"contact\"]\nset = { lifecycle",
        "about = [\"number\"]\nset = { lifecycle",
        &["`number` is of kind id and refers to no record"],
    );
    one("why = \"a deal is won when the money has arrived\"\n", "", &["this effect has no `why`"]);
    one(
        "name = { text = \"Invoice {number}\" }",
        "name = { text = \"Invoice {nummer}\" }",
        &["`invoice` has no field `nummer`", "did you mean `number`?"],
    );
    one("name = { text = \"Invoice {number}\" }", "amount = { text = \"Invoice\" }", &["a text cannot go into `deal.amount`"]);
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = DEFAULT
        .replace("members = 40 ", "members = 0 ")
        .replace("days = 45", "dayz = 45")
        .replace("[identity.product]", "[identity.produkt]");
    assert_eq!(rendered(&text).len(), 3);
}

/// What the folders of the providers say as well.
fn loaded(old: &str, new: &str) -> Vec<String> {
    assert_eq!(DEFAULT.matches(old).count(), 1, "`{old}` must be in the default exactly once");
    let text = DEFAULT.replace(old, new).replace("example.my.salesforce.com", "acme.my.salesforce.com");
    let loaded = Loaded::new("hub.toml", text, None);
    loaded.diagnostics.iter().map(|diagnostic| render(diagnostic, false)).collect()
}

#[test]
fn one_missing_bracket_gives_one_error() {
    let mut quoted = false;
    let mut comment = false;
    let mut brackets = Vec::new();
    for (at, c) in DEFAULT.char_indices() {
        match c {
            '\n' => (quoted, comment) = (false, false),
            '#' if !quoted => comment = true,
            '"' if !comment => quoted = !quoted,
            '[' | ']' | '{' | '}' if !quoted && !comment => brackets.push(at),
            _ => {}
        }
    }
    assert!(brackets.len() > 100, "only {} brackets", brackets.len());
    for at in brackets {
        let text = format!("{}{}", &DEFAULT[..at], &DEFAULT[at + 1..]);
        let all = rendered(&text);
        assert_eq!(
            all.len(),
            1,
            "without the bracket at {at} ({:?}):\n{}",
            &DEFAULT[at..(at + 30).min(DEFAULT.len())],
            all.join("\n\n")
        );
    }
}

/// Made of parts, so that the scan for secrets in files finds nothing here.
fn secret(prefix: &str) -> String {
    format!("{prefix}{}", "4eC39HqLyjWDarjtT1zdp7dc")
}

#[test]
fn a_pasted_secret_is_refused_and_not_shown() {
    for value in [
        secret("whsec_"),
        secret("sk_live_"),
        secret("pat-na1-"),
        secret(""),
        format!("{{\\\"access_token\\\": \\\"{}\\\"}}", secret("")),
    ] {
        for key in ["signing_secret = \"stripe/signing\"", "api_secret = \"salesforce/api\""] {
            let name = key.split(' ').next().unwrap_or_default();
            let all = with(key, &format!("{name} = \"{value}\""));
            assert_eq!(all.len(), 1, "{}", all.join("\n\n"));
            assert!(all[0].contains("this looks like a secret") && all[0].contains("create a new one"), "{}", all[0]);
            assert!(!all[0].contains("4eC39"), "the value is not shown: {}", all[0]);
        }
    }
    let comment = with("owner = \"finance\"", &format!("owner = \"finance\" # {}", secret("whsec_")));
    assert!(comment.len() == 1 && comment[0].contains("this looks like a secret"), "{comment:?}");
    one("api_secret = \"salesforce/api\"", "api_secret = \"my secret\"", &["cannot be the name of a secret", "salesforce/api"]);
    one("api_secret = \"salesforce/api\"", "api_secret = \"master\"", &["wraps the keys of all personal data"]);
}

#[test]
fn a_secret_has_one_use() {
    one(
        "signing_secret = \"form/signing\" ",
        "signing_secret = \"stripe/signing\" ",
        &["`signing_secret` of `stripe` uses the same secret", "\"form/signing\""],
    );
    one("api_secret = \"hubspot/api\" ", "api_secret = \"hubspot/signing\" ", &["uses the same secret", "\"hubspot/api\""]);
    one("signing_secret = \"form/signing\" ", "signing_secret = \"stripe-signing\" ", &["uses the same secret"]);
}

#[test]
fn a_host_that_nobody_replaced_is_a_warning() {
    let all = Loaded::new("hub.toml", DEFAULT.to_owned(), None).report(false);
    assert!(all.starts_with("warning: `example.my.salesforce.com` is a placeholder"), "{all}");
    assert_eq!(loaded("owner = \"finance\"", "owner = \"billing\""), [""; 0], "a host of one's own is none");
    let all = loaded("https://api.hubapi.com", "https://your-domain.example.org");
    assert!(all.len() == 1 && all[0].contains("`your-domain.example.org` is a placeholder"), "{all:?}");
}

#[test]
fn retries_and_retention_that_cannot_be_are_refused() {
    let schedule = "schedule = [\"1m\", \"5m\", \"30m\"]";
    one(schedule, "schedule = [\"1m\", \"11h\"]", &["11 h 45 min at most", "`jitter_percent`"]);
    one(schedule, "schedule = [\"500ms\"]", &["must be a second or longer"]);
    let waits = ["\"9h\""; 40].join(", ");
    one(schedule, &format!("schedule = [{waits}]"), &["less than 14 days together"]);
    one("jitter_percent = 20", "jitter_percent = 120", &["at most 100"]);
    one("days = 45 ", "days = 27 ", &["`days` must be 28 or more", "count a second time"]);
    one("body_bytes = 6_000_000 ", "body_bytes = 7_000_000 ", &["`body_bytes` can be 6000000 at most"]);
    one("item_bytes = 350_000 ", "item_bytes = 500_000 ", &["`item_bytes` can be 400000 at most"]);
    one("owner = \"finance\"\nsla = \"5m\"", "owner = \"finance\"\nsla = \"10s\"", &["`sla` must be 1m or longer"]);
}

#[test]
fn a_sweep_that_cannot_work_is_one_error_with_what_can_be_swept() {
    let all = loaded("sweep = [\"Contact\", \"Account\", \"Opportunity\", \"Case\"]", "sweep = [\"Contact\", \"Leed\"]");
    assert!(all.len() == 1 && all[0].contains("the hub cannot list `Leed` of Salesforce"), "{all:?}");
    assert!(all[0].contains("what can be swept: Contact, Account, Opportunity, Case"), "{}", all[0]);
    for (provider, objects, title) in [("pipedrive", "\"person\", \"deal\"", "Pipedrive"), ("twilio", "\"call\"", "Twilio")] {
        let section = format!("[connections.stripe]\nsweep = [{objects}]");
        let text = DEFAULT
            .replace("[connections.stripe]", &section)
            .replace("provider = \"stripe\"", &format!("provider = \"{provider}\""));
        let report = Loaded::new("hub.toml", text.replace("example.my", "acme.my"), None);
        assert_eq!(report.diagnostics.len(), 1, "{}", report.report(false));
        let found = report.report(false);
        assert!(found.contains(&format!("the hub cannot list the records of {title}")), "{found}");
        assert!(found.contains("docs/generated/api-capabilities.md"), "{found}");
    }
}
