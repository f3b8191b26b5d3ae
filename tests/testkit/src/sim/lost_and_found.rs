//! Scenarios about objects that end, or only seem to, and about many things at once.

use serde_json::{Map, json};

use super::ada::{MAIL, done, form};
use super::script::{Act, Author, Edit, Form, Outage, START_MS, Script, Task, Verdict};

fn edit(author: &mut Author, at_ms: i64, property: (&str, &str), fact: Option<(&'static str, String)>) {
    let properties = Map::from_iter([(property.0.to_owned(), json!(property.1))]);
    author.script.edits.push(Edit {
        at_ms,
        crm: "hubspot.test",
        object: "contacts",
        email: MAIL.into(),
        properties,
        fact,
        person: None,
    });
}

fn act(author: &mut Author, at_ms: i64, email: &str, task: Task) {
    author.script.acts.push(Act { at_ms, email: email.into(), task });
}

/// A form grants; then the person opts out at HubSpot.
fn opted_out(seed: u64) -> Author {
    let mut author = Author::new(seed);
    author.form(&Form { consent: Some(true), ..form(None, Some("Ada")) }, START_MS, START_MS + 100);
    let withdrawn = Some(("email_consent", "withdrawn".to_owned()));
    edit(&mut author, START_MS + 120_000, ("hs_email_optout", "true"), withdrawn);
    author
}

/// A contact that opted out is deleted: the opt-out stays.
pub(super) fn opt_out_outlives_deletion(seed: u64) -> Script {
    let mut author = opted_out(seed);
    act(&mut author, START_MS + 240_000, MAIL, Task::Delete);
    author.form(&form(Some("+14155552001"), None), START_MS + 300_000, START_MS + 300_100);
    done(author)
}

/// A contact that opted out is merged by a person into one that did not: the opt-out stays, and reaches the one that is left.
pub(super) fn opt_out_outlives_merge(seed: u64) -> Script {
    let mut author = opted_out(seed);
    let other =
        Map::from_iter([("email".to_owned(), json!("ada@other.example")), ("hs_email_optout".to_owned(), json!("false"))]);
    author.script.seeded.push(other);
    act(&mut author, START_MS + 240_000, MAIL, Task::MergeInto("ada@other.example".into()));
    done(author)
}

/// A contact that opted out is deleted and made anew without the opt-out: the opt-out stays, and reaches the new one.
pub(super) fn opt_out_outlives_recreation(seed: u64) -> Script {
    let mut author = opted_out(seed);
    act(&mut author, START_MS + 240_000, MAIL, Task::Delete);
    act(&mut author, START_MS + 300_000, MAIL, Task::Create(Map::new()));
    done(author)
}

/// A read finds nothing although the object is there: the hub goes on writing to it.
pub(super) fn one_empty_answer(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    let at = START_MS + 120_000;
    edit(&mut author, at, ("jobtitle", "Countess"), Some(("job_title", "Countess".to_owned())));
    author.script.blind.push(Outage { crm: "hubspot.test", from_ms: at, until_ms: at + 40_000, firewall: false });
    author.form(&form(None, Some("Augusta")), START_MS + 400_000, START_MS + 400_100);
    done(author)
}

/// HubSpot shows none of many contacts during the daily look: no link ends.
pub(super) fn blind_night(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for n in 0..5 {
        let email = format!("person{n}@example.com");
        author.form(&Form { email: &email, first_name: Some("Ada".into()), ..Form::default() }, START_MS + n, START_MS + n * 100);
    }
    author.script.blind_night = true;
    done(author)
}

/// A person edits a contact and merges it into another one before the hub has read it.
pub(super) fn edit_before_merge(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    author.script.seeded.push(Map::from_iter([("email".to_owned(), json!("ada@other.example"))]));
    let at = START_MS + 120_000;
    edit(&mut author, at, ("jobtitle", "Countess"), Some(("job_title", "Countess".to_owned())));
    let merge = at + author.rng.range(10, 20_000);
    act(&mut author, merge, MAIL, Task::MergeInto("ada@other.example".into()));
    author.form(&form(Some("+14155552001"), None), START_MS + 400_000, START_MS + 400_100);
    done(author)
}

/// One of two contacts is deleted; then it turns out that both are one person: the other one is written from now on.
pub(super) fn deleted_then_joined(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let other = "ada@other.example";
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    author.customer("cus_1", other, "Ada", None, START_MS + 1_000, START_MS + 1_100);
    let deleted = *author.rng.pick(&[MAIL, other]);
    act(&mut author, START_MS + 120_000, deleted, Task::Delete);
    author.customer("cus_1", MAIL, "Augusta", None, START_MS + 240_000, START_MS + 240_100);
    // Where the deletion is not known yet, the hub only suggests that both are one.
    author.script.verdicts = vec![Verdict::AcceptAll];
    done(author)
}

/// A contact is deleted by mistake and made anew by a person: the new one is written from now on.
pub(super) fn deleted_and_made_anew(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    act(&mut author, START_MS + 120_000, MAIL, Task::Delete);
    let at = START_MS + 120_000 + author.rng.range(1_000, 60_000);
    act(&mut author, at, MAIL, Task::Create(Map::new()));
    author.form(&form(None, Some("Augusta")), START_MS + 400_000, START_MS + 400_100);
    done(author)
}

/// A workflow touches one contact a hundred times: one read answers all events.
pub(super) fn a_hundred_questions(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    for n in 0..100 {
        let title = format!("Title {n}");
        edit(&mut author, START_MS + 120_000 + n, ("jobtitle", &title), Some(("job_title", title.clone())));
    }
    author.script.full_batches = true;
    done(author)
}

/// A person fills in more forms than a golden record lists members; each of them still counts.
pub(super) fn more_forms_than_members(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&Form { company: Some("First Ltd".into()), ..form(None, None) }, START_MS, START_MS + 100);
    author.form(&Form { consent: Some(true), ..form(None, None) }, START_MS + 500, START_MS + 600);
    for n in 1..45 {
        let stamp = START_MS + n * 1_000;
        let at = stamp + author.rng.range(100, 30_000);
        author.form(&form(None, Some(&format!("Ada{n}"))), stamp, at);
    }
    done(author)
}

/// Two members of one cluster change at the same time, so that what each change replaces is what the other one is resolved with.
pub(super) fn two_members_at_once(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let phones = ["+14155552001", "+14155552002", "+14155552003"];
    for round in 0..6 {
        for customer in ["cus_1", "cus_2", "cus_3"] {
            let stamp = START_MS + round * 60_000 + author.rng.range(0, 30) * 1_000;
            let phone = author.rng.chance(6_000).then(|| *author.rng.pick(&phones));
            author.customer(customer, MAIL, "Ada", phone, stamp, START_MS + round * 60_000 + 45_000);
        }
    }
    done(author)
}

/// Two objects turn out to be one person, and HubSpot does not merge them: the hub knows that both live.
pub(super) fn refused_merge(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.form(&form(None, Some("Ada")), START_MS, START_MS + 100);
    author.customer("cus_1", "ada@other.example", "Ada", None, START_MS + 1_000, START_MS + 1_100);
    author.customer("cus_1", MAIL, "Augusta", None, START_MS + 240_000, START_MS + 240_100);
    author.script.refuse_merges = true;
    // The hub only suggests that two living contacts are one.
    author.script.verdicts = vec![Verdict::AcceptAll];
    done(author)
}

/// The same field is edited again and again, and repaired each time, although no new version exists.
pub(super) fn repairs_in_the_audit_log(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let company = Form { company: Some("Right Ltd".into()), ..form(None, Some("Ada")) };
    author.form(&company, START_MS, START_MS + 100);
    for n in 1..=3 {
        edit(&mut author, START_MS + n * 120_000, ("company", &format!("Wrong {n}")), None);
    }
    done(author)
}
