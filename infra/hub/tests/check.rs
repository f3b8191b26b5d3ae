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
    one("strong = [\"domain\"]\n", "strong = [\"domain\"\n", &["this `[` is not closed", ":78:10"]);
    one(
        "ticket  = { hubspot = \"tickets\",   salesforce = \"Case\" }",
        "ticket = { hubspot = \"tickets\"",
        &["this `{` is not closed"],
    );
    one("[connections.stripe]", "[connections.stripe", &["unclosed table", ":33:20"]);
}

#[test]
fn names_that_do_not_exist_are_suggested() {
    one("jitter_percent = 20", "jitter_pct = 20", &["no key `jitter_pct`", "did you mean `jitter_percent`?"]);
    one("provider = \"stripe\"", "provider = \"strip\"", &["no provider `strip`", "did you mean `stripe`?", ":34:12"]);
    one("prefer = [\"stripe\", \"form\"]", "prefer = [\"stripe\", \"from\"]", &["no connection `from`", "did you mean `form`?"]);
    one("ticket  = { hubspot", "tiket = { hubspot", &["`tiket` is not a canonical object", "did you mean `ticket`?"]);
    one("lead_source   = {", "leadsource = {", &["`contact` has no field `leadsource`", "did you mean `lead_source`?"]);
    one("strong = [\"domain\"]", "strong = [\"domian\"]", &["`company` has no field `domian`", "did you mean `domain`?"]);
    one("status = [\"trialing\"]", "status = [\"trialling\"]", &["never `trialling`", "did you mean `trialing`?"]);
    one("text = \"proposal\"", "text = \"proposed\"", &["`deal.stage` is never `proposed`", "did you mean `proposal`?"]);
    one(
        "rule = \"most_restrictive\", why = \"an opt-out holds everywhere until the person takes it back\" }\nlead",
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
    one("why = \"a deal is won when the money is there\"\n", "", &["this effect has no `why`"]);
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
