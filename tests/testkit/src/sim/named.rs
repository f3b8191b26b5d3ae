//! Scenarios that every version must survive, each with a story of its own.

use serde_json::{Map, json};

use super::ada::{MAIL, done, form};
use super::lost_and_found;
use super::script::{Author, Edit, Form, Outage, PLACEHOLDERS, START_MS, Script, Verdict};

/// How a scenario's script is written for a seed.
type Write = fn(u64) -> Script;

/// Every named scenario.
pub const NAMED: &[(&str, Write)] = &[
    ("echo-against-late-update", echo_against_late_update),
    ("edit-of-owned-field", edit_of_owned_field),
    ("lease-expiry-with-stalled-write", lease_expiry_with_stalled_write),
    ("version-race-at-release", version_race_at_release),
    ("merge-between-create-and-commit", merge_between_create_and_commit),
    ("email-change", email_change),
    ("a-b-a", a_b_a),
    ("form-from-2099", form_from_2099),
    ("truncating-destination", truncating_destination),
    ("outage-of-one-destination", outage_of_one_destination),
    ("firewall-in-front", firewall_in_front),
    ("question-without-answer", question_without_answer),
    ("shared-number", shared_number),
    ("number-of-one-person", number_of_one_person),
    ("placeholder-numbers", placeholder_numbers),
    ("address-passes-on", address_passes_on),
    ("address-passes-on-undecided", address_passes_on_undecided),
    ("unmerge", unmerge),
    ("unmerge-and-merge-again", unmerge_and_merge_again),
    ("opt-out-outlives-deletion", lost_and_found::opt_out_outlives_deletion),
    ("opt-out-outlives-merge", lost_and_found::opt_out_outlives_merge),
    ("opt-out-outlives-recreation", lost_and_found::opt_out_outlives_recreation),
    ("one-empty-answer", lost_and_found::one_empty_answer),
    ("blind-night", lost_and_found::blind_night),
    ("edit-before-merge", lost_and_found::edit_before_merge),
    ("deleted-then-joined", lost_and_found::deleted_then_joined),
    ("deleted-and-made-anew", lost_and_found::deleted_and_made_anew),
    ("a-hundred-questions", lost_and_found::a_hundred_questions),
    ("more-forms-than-members", lost_and_found::more_forms_than_members),
    ("two-members-at-once", lost_and_found::two_members_at_once),
    ("refused-merge", lost_and_found::refused_merge),
    ("repairs-in-the-audit-log", lost_and_found::repairs_in_the_audit_log),
];

/// Stripe's number is pushed and echoes back; then a form that is newer than Stripe's word, but older than the echo, arrives.
fn echo_against_late_update(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.customer("cus_1", MAIL, "Ada", Some("+14155552001"), START_MS, START_MS + 100);
    let late = START_MS + 120_000 + author.rng.range(0, 60_000);
    author.form(&form(Some("+14155552002"), None), START_MS + 5_000, late);
    done(author)
}

/// A person edits a field that another system owns: the hub repairs it although no new version exists.
fn edit_of_owned_field(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let company = Form { company: Some("Right Ltd".into()), ..form(None, Some("Ada")) };
    author.form(&company, START_MS, START_MS + 100);
    for n in 0..3 {
        let at_ms = START_MS + 60_000 + author.rng.range(0, 60_000);
        let properties = Map::from_iter([("company".to_owned(), json!(format!("Wrong {n}")))]);
        author.script.edits.push(Edit {
            at_ms,
            crm: "hubspot.test",
            object: "contacts",
            email: MAIL.into(),
            properties,
            fact: None,
            person: None,
        });
    }
    done(author)
}

/// Updates that follow each other closely, while calls stall beyond the end of their lease, in processes that are not killed.
fn lease_expiry_with_stalled_write(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for person in
        ["ada@example.com", "bob@example.com", "cy@example.com", "dee@example.com", "eve@example.com", "flo@example.com"]
    {
        for n in 0..4 {
            let stamp = START_MS + n * 20_000 + author.rng.range(0, 10_000);
            let first_name = Some(format!("Name{n}"));
            let form = Form { email: person, first_name, ..Form::default() };
            author.form(&form, stamp, stamp + 100);
        }
    }
    author.script.hanging = true;
    done(author)
}

/// A burst: versions rise while pushes are under way.
fn version_race_at_release(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for n in 0..12 {
        let stamp = START_MS + n * 40;
        let at = stamp + author.rng.range(10, 400);
        author.form(&form(None, Some(&format!("Ada{n}"))), stamp, at);
    }
    done(author)
}

/// Two records turn out to be one person's while their objects are being created: a customer takes the address of a form.
fn merge_between_create_and_commit(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.customer("cus_1", MAIL, "Ada", None, START_MS, START_MS + 10);
    let other = Form { email: "ada@other.example", phone: Some("+14155552009".into()), ..Form::default() };
    author.form(&other, START_MS + 1_000, START_MS + 20);
    let at = START_MS + author.rng.range(20, 400);
    author.customer("cus_1", "ada@other.example", "Ada", None, START_MS + 2_000, at);
    // If both have an object by then, the hub only suggests it.
    author.script.verdicts = vec![Verdict::AcceptAll];
    done(author)
}

/// Three forms with one number and three addresses are three people, and so is a customer with only that number.
fn shared_number(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let phone = "+14155552040";
    for (n, email) in ["ada@example.com", "bob@example.com", "office@example.com"].into_iter().enumerate() {
        let stamp = START_MS + i64::try_from(n).unwrap_or(0) * 20_000;
        let at = stamp + author.rng.range(100, 50_000);
        let form = Form { email, phone: Some(phone.into()), first_name: Some(format!("Name{n}")), ..Form::default() };
        author.form(&form, stamp, at);
    }
    author.customer("cus_1", "", "Somebody", Some(phone), START_MS + 180_000, START_MS + 180_100);
    author.disturb();
    done(author)
}

/// A number that one person has finds that person, whichever comes first.
fn number_of_one_person(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let phone = "+14155552041";
    let at = START_MS + author.rng.range(100, 60_000);
    author.form(&form(Some(phone), Some("Ada")), START_MS, at);
    let at = START_MS + author.rng.range(100, 60_000);
    author.customer("cus_1", "", "Ada Vogt", Some(phone), START_MS + 5_000, at);
    author.disturb();
    done(author)
}

/// Numbers that people type where one is required tie nobody.
fn placeholder_numbers(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for (n, phone) in PLACEHOLDERS.iter().enumerate() {
        for person in 0..2 {
            let stamp = START_MS + i64::try_from(n).unwrap_or(0) * 10_000;
            let at = stamp + author.rng.range(100, 20_000);
            author.customer(&format!("cus_{n}{person}"), "", &format!("Person {n} {person}"), Some(phone), stamp, at);
        }
    }
    author.disturb();
    done(author)
}

/// An e-mail address changes; what comes in under the old and the new one is one person.
fn email_change(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.customer("cus_1", MAIL, "Ada", None, START_MS, START_MS + 100);
    author.form(&form(None, Some("Ada")), START_MS + 10_000, START_MS + 10_100);
    author.customer("cus_1", "ada@new.example", "Ada", None, START_MS + 20_000, START_MS + 20_100);
    let new = Form { email: "ada@new.example", first_name: Some("Augusta".into()), ..Form::default() };
    author.form(&new, START_MS + 30_000, START_MS + 30_100);
    let late = START_MS + author.rng.range(30_000, 90_000);
    author.form(&form(None, Some("Old")), START_MS + 9_000, late);
    author.disturb();
    // A form with the new address may have made an object of its own before the customer's change came.
    author.script.verdicts = vec![Verdict::AcceptAll];
    done(author)
}

/// A value changes and changes back; a source in between must not win.
fn a_b_a(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let (a, b) = ("+14155552001", "+14155552002");
    for (n, phone) in [a, b, a].into_iter().enumerate() {
        let stamp = START_MS + i64::try_from(n).unwrap_or(0) * 30_000;
        let at = stamp + author.rng.range(100, 70_000);
        author.customer("cus_1", MAIL, "Ada", Some(phone), stamp, at);
    }
    let at = START_MS + 50_000 + author.rng.range(0, 60_000);
    author.form(&form(Some("+14155552003"), None), START_MS + 45_000, at);
    author.disturb();
    done(author)
}

/// A form whose clock shows the year 2099 must not win forever.
fn form_from_2099(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let far = 4_070_908_800_000;
    author.form(&form(None, Some("Future")), far, START_MS + 1_000);
    if let Some(fact) = author.script.facts.last_mut() {
        // What the hub may believe of it is the time at which it came.
        fact.stamp_ms = START_MS + 1_000;
    }
    author.form(&form(None, Some("Present")), START_MS + 600_000, START_MS + 600_100);
    done(author)
}

/// A value that is longer than a destination keeps: it is cut there, once, and neither pushed again and again nor taken back.
fn truncating_destination(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let long = "x".repeat(300);
    author.form(&form(None, Some(&long)), START_MS, START_MS + 100);
    let at = START_MS + 30_000 + author.rng.range(0, 30_000);
    author.form(&form(Some("+14155552001"), None), START_MS + 30_000, at);
    done(author)
}

/// One destination is down for minutes; the other one gets everything.
fn outage_of_one_destination(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for n in 0..6 {
        let stamp = START_MS + n * 10_000;
        author.form(&form(None, Some(&format!("Ada{n}"))), stamp, stamp + 100);
    }
    let outage = Outage { crm: "salesforce.test", from_ms: START_MS, until_ms: START_MS + 240_000, firewall: false };
    author.script.outages.push(outage);
    done(author)
}

/// A firewall in front of both destinations answers calls by chance with a page: nothing is lost, and no connection is paused.
fn firewall_in_front(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for (n, person) in ["ada@example.com", "bob@example.com", "cy@example.com"].into_iter().enumerate() {
        let stamp = START_MS + i64::try_from(n).unwrap_or(0) * 20_000 + author.rng.range(0, 10_000);
        let form = Form { email: person, first_name: Some(format!("Name{n}")), ..Form::default() };
        author.form(&form, stamp, stamp + 100);
    }
    for crm in ["hubspot.test", "salesforce.test"] {
        author.script.outages.push(Outage { crm, from_ms: START_MS, until_ms: START_MS + 240_000, firewall: true });
    }
    done(author)
}

/// Events whose records cannot be read: each ends as dead, also when the read is given up before `transform` has continued.
fn question_without_answer(seed: u64) -> Script {
    let mut author = Author::new(seed);
    for n in 0..6 {
        author.unreadable(START_MS + n * 300);
    }
    author.disturb();
    done(author)
}

/// An address passes from one person to another in HubSpot. Nothing is joined; a person says that they are two.
fn address_passes_on(seed: u64) -> Script {
    let mut script = address_passes_on_undecided(seed);
    script.verdicts = vec![Verdict::RejectAll];
    script
}

/// The same, and nobody decides.
fn address_passes_on_undecided(seed: u64) -> Script {
    let mut author = Author::new(seed);
    author.person = Some("ada");
    author.customer("cus_1", MAIL, "Ada", None, START_MS, START_MS + 100);
    author.person = Some("bob");
    author.customer("cus_2", "bob@example.com", "Bob", None, START_MS, START_MS + 200);
    // Later than the longest retry: both exist in HubSpot by then.
    let at_ms = START_MS + 3 * 3_600_000 + author.rng.range(0, 60_000);
    let steps =
        [("ada", MAIL, "ada@new.example", at_ms), ("bob", "bob@example.com", MAIL, at_ms + author.rng.range(1_000, 60_000))];
    for (person, email, next, at_ms) in steps {
        author.script.edits.push(Edit {
            at_ms,
            crm: "hubspot.test",
            object: "contacts",
            email: email.into(),
            properties: Map::from_iter([("email".to_owned(), json!(next))]),
            fact: Some(("email", next.to_owned())),
            person: Some(person),
        });
    }
    done(author)
}

/// A number has joined a lodger with the person whose number it is; a person takes that back.
fn unmerge(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let phone = "+14155552042";
    author.person = Some("ada");
    author.form(&form(Some(phone), Some("Ada")), START_MS, START_MS + 100);
    author.person = Some("lodger");
    let at = START_MS + author.rng.range(100, 60_000);
    author.customer(LODGER.2, "", "Lou Lodger", Some(phone), START_MS + 5_000, at);
    author.disturb();
    let (connection, object, id) = LODGER;
    author.script.verdicts = vec![Verdict::Unmerge(connection, object, id)];
    done(author)
}

const LODGER: (&str, &str, &str) = ("stripe", "customer", "cus_1");

/// The same, and then they are found to be one all the same: nothing is lost.
fn unmerge_and_merge_again(seed: u64) -> Script {
    let mut script = unmerge(seed);
    script.facts.iter_mut().for_each(|fact| fact.person = None);
    script.verdicts.push(Verdict::Merge(LODGER, MAIL));
    script
}
