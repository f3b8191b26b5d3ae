//! What happens in a run, decided by the seed before it starts: people, what each source says about them and when, and how the
//! webhooks travel. The facts are kept apart from their delivery, so that the oracle can judge from them alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::rng::Rng;

/// Virtual time at which every run starts: 2026-03-02T08:00:00Z, in milliseconds.
pub const START_MS: i64 = 1_772_438_400_000;

/// Numbers that people type where one is required.
pub const PLACEHOLDERS: &[&str] = &["+33612345678", "+447777777777", "+493012345678"];

/// What one source said about one person at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The source record: connection, object, id.
    pub source: (&'static str, &'static str, String),
    /// By the source's clock.
    pub stamp_ms: i64,
    /// True when the fields were stated, false when they were merely there.
    pub stated: bool,
    /// Canonical values; an empty text stands for a cleared field.
    pub fields: BTreeMap<&'static str, String>,
    /// Marketing consent, if it is about that.
    pub consent: Option<&'static str>,
    /// Who it is about, where only people know that.
    pub person: Option<&'static str>,
}

/// A webhook and when it is sent.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The connection.
    pub connection: &'static str,
    /// When.
    pub at_ms: i64,
    /// The provider's id of the event; repeats have the same.
    pub id: String,
    /// The exact body.
    pub body: Vec<u8>,
    /// What it says, as an index into [`Script::facts`]; `None` for what says nothing.
    pub fact: Option<usize>,
    /// How its signature is.
    pub signature: Signature,
}

/// How a webhook is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// As it should be.
    Good,
    /// With another secret.
    Forged,
}

/// What a person does in a CRM.
#[derive(Debug, Clone)]
pub struct Edit {
    /// When.
    pub at_ms: i64,
    /// The CRM's host.
    pub crm: &'static str,
    /// The native object.
    pub object: &'static str,
    /// The person's e-mail address, by which the record is found.
    pub email: String,
    /// Native properties.
    pub properties: Map<String, Value>,
    /// The canonical field and value, if the edit is a fact that counts.
    pub fact: Option<(&'static str, String)>,
    /// Who it is about, where only people know that.
    pub person: Option<&'static str>,
}

/// What a person decides about who is who, once everything has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that the hub suggests is the same.
    AcceptAll,
    /// Nothing that the hub suggests is the same.
    RejectAll,
    /// This object does not belong to its record: connection, object, id.
    Unmerge(&'static str, &'static str, &'static str),
    /// The record of this object and that of the other one are the same: connection, object, id.
    Merge((&'static str, &'static str, &'static str), &'static str),
}

/// What else a person does with a contact in HubSpot.
#[derive(Debug, Clone)]
pub struct Act {
    /// When.
    pub at_ms: i64,
    /// The e-mail address of the contact.
    pub email: String,
    /// What.
    pub task: Task,
}

/// What a person does with a contact.
#[derive(Debug, Clone)]
pub enum Task {
    /// Creates it with these properties.
    Create(Map<String, Value>),
    /// Deletes it.
    Delete,
    /// Merges it into the contact with this e-mail address.
    MergeInto(String),
}

/// An outage of a CRM.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// The CRM's host.
    pub crm: &'static str,
    /// From.
    pub from_ms: i64,
    /// Until.
    pub until_ms: i64,
    /// True when a firewall in front of the CRM answers every second call with a page; else every call gets status 503.
    pub firewall: bool,
}

/// A whole run.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What is said.
    pub facts: Vec<Fact>,
    /// How it travels.
    pub sendings: Vec<Sending>,
    /// What people do in CRMs.
    pub edits: Vec<Edit>,
    /// What else people do with contacts in HubSpot.
    pub acts: Vec<Act>,
    /// Outages.
    pub outages: Vec<Outage>,
    /// Times at which HubSpot finds nothing that is read by its id.
    pub blind: Vec<Outage>,
    /// HubSpot shows nothing during a reconciliation.
    pub blind_night: bool,
    /// HubSpot refuses to merge contacts.
    pub refuse_merges: bool,
    /// Queues give batches as full as in production.
    pub full_batches: bool,
    /// Contacts that are in HubSpot from the beginning: native properties.
    pub seeded: Vec<Map<String, Value>>,
    /// What a person decides about who is who, one after the other.
    pub verdicts: Vec<Verdict>,
    /// When the last thing happens.
    pub end_ms: i64,
    /// Processes hang: they run on after their deadline, while others hold their leases.
    pub hanging: bool,
}

/// Digits of a telephone number of person `n`, variant `v`, in E.164.
fn phone(n: usize, v: u64) -> String {
    format!("+1415555{:04}", 2000 + n * 50 + usize::try_from(v).unwrap_or(0))
}

/// RFC 3339 with milliseconds.
pub fn iso(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Civil date from days since the epoch (Howard Hinnant's algorithm).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{milli:03}Z")
}

/// Builds scripts.
pub struct Author {
    /// The seed's stream for the script alone.
    pub rng: Rng,
    /// The script so far.
    pub script: Script,
    /// Who the next facts are about, where only people know that.
    pub person: Option<&'static str>,
    serial: u64,
}

/// A form submission.
#[derive(Debug, Clone, Default)]
pub struct Form<'a> {
    /// E-mail address.
    pub email: &'a str,
    /// Number, if given.
    pub phone: Option<String>,
    /// First name, if given.
    pub first_name: Option<String>,
    /// Company, if given.
    pub company: Option<String>,
    /// Marketing consent, if the form requests it.
    pub consent: Option<bool>,
}

impl Author {
    /// An empty script.
    pub fn new(seed: u64) -> Author {
        Author { rng: Rng::new(seed ^ 0x5c41_97e0), script: Script::default(), person: None, serial: 0 }
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn send(&mut self, connection: &'static str, id: String, body: Vec<u8>, fact: Option<usize>, at_ms: i64) {
        self.script.end_ms = self.script.end_ms.max(at_ms);
        self.script.sendings.push(Sending { connection, at_ms, id, body, fact, signature: Signature::Good });
    }

    /// A person fills in a form at `stamp_ms`; the webhook is sent at `at_ms`.
    pub fn form(&mut self, form: &Form<'_>, stamp_ms: i64, at_ms: i64) {
        let serial = self.serial();
        let id = format!("sub-{serial:04}");
        let mut values = BTreeMap::from([("email", form.email.to_owned())]);
        let mut fields = json!({ "email": form.email });
        let optional = [
            ("phone", "phone", &form.phone),
            ("first_name", "first_name", &form.first_name),
            ("company", "company_name", &form.company),
        ];
        for (native, canonical, value) in optional {
            if let Some(value) = value {
                fields[native] = json!(value);
                values.insert(canonical, value.clone());
            }
        }
        if let Some(consent) = form.consent {
            fields["consent_marketing"] = json!(consent);
        }
        // A box that was left empty takes nothing back.
        let consent = form.consent.filter(|granted| *granted).map(|_| "granted");
        let body = json!({
            "form_id": "contact-us", "submission_id": id, "submitted_at": iso(stamp_ms), "fields": fields,
            "utm": { "utm_source": "sim", "utm_campaign": format!("c{serial}") },
        });
        let source = ("form", "person", form.email.to_owned());
        let person = self.person;
        self.script.facts.push(Fact { source, stamp_ms, stated: true, fields: values, consent, person });
        let fact = self.script.facts.len() - 1;
        self.send("form", format!("msg_{serial:06}"), body.to_string().into_bytes(), Some(fact), at_ms);
    }

    /// Stripe reports a customer as it was at `stamp_ms` (whole seconds).
    pub fn customer(&mut self, id: &str, email: &str, name: &str, phone: Option<&str>, stamp_ms: i64, at_ms: i64) {
        let serial = self.serial();
        let seconds = stamp_ms / 1000;
        let mut fields = BTreeMap::from([("email", email.to_owned()), ("full_name", name.to_owned())]);
        fields.insert("phone", phone.unwrap_or_default().to_owned());
        let body = json!({
            "id": format!("evt_{serial:06}"), "object": "event", "api_version": "2025-08-27.basil", "created": seconds,
            "livemode": true, "pending_webhooks": 1, "type": "customer.updated",
            "request": { "id": null, "idempotency_key": null },
            "data": { "object": {
                "id": id, "object": "customer", "created": START_MS / 1000 - 86_400, "email": email, "name": name,
                "phone": phone, "livemode": true, "metadata": {},
            } },
        });
        let source = ("stripe", "customer", id.to_owned());
        let person = self.person;
        self.script.facts.push(Fact { source, stamp_ms: seconds * 1000, stated: false, fields, consent: None, person });
        let fact = self.script.facts.len() - 1;
        self.send("stripe", format!("evt_{serial:06}"), body.to_string().into_bytes(), Some(fact), at_ms);
    }

    /// A thin event, from a sender whose API the hub has no token for.
    pub fn unreadable(&mut self, at_ms: i64) {
        let serial = self.serial();
        let id = format!("evt_{serial:06}");
        let body = json!({
            "id": id, "object": "v2.core.event", "type": "v1.customer.updated", "livemode": true, "created": iso(at_ms),
            "related_object": { "id": "cus_far", "type": "customer", "url": "/v1/customers/cus_far" },
        });
        self.send("stripe", id, body.to_string().into_bytes(), None, at_ms);
    }

    /// A body that is signed but cannot be read, an event that nothing is mapped for, or one whose record cannot be read.
    pub fn oddity(&mut self, at_ms: i64) {
        let serial = self.serial();
        let body = match self.rng.below(4) {
            0 => b"{\"id\": \"evt_cut\", \"type\": \"customer.upd".to_vec(),
            1 => {
                json!({ "id": format!("evt_{serial:06}"), "object": "event", "created": at_ms / 1000, "type": "tax_rate.created",
                         "livemode": true, "data": { "object": { "id": "txr_1", "object": "tax_rate" } } })
                .to_string()
                .into_bytes()
            }
            2 => return self.unreadable(at_ms),
            _ => b"[]".to_vec(),
        };
        self.send("stripe", format!("odd_{serial:06}"), body, None, at_ms);
    }

    /// Repeats, forges and reorders some of what is sent.
    pub fn disturb(&mut self) {
        let count = self.script.sendings.len();
        for index in 0..count {
            let original = self.script.sendings[index].clone();
            if self.rng.chance(1_500) {
                let at_ms = original.at_ms + self.rng.range(0, 90_000);
                self.script.sendings.push(Sending { at_ms, ..original.clone() });
            }
            if self.rng.chance(400) {
                self.script.sendings.push(Sending { signature: Signature::Forged, fact: None, ..original });
            }
        }
        self.script.end_ms = self.script.sendings.iter().map(|s| s.at_ms).max().unwrap_or(START_MS);
    }
}

/// The script of an ordinary seed.
pub fn write(seed: u64) -> Script {
    let mut author = Author::new(seed);
    let people = usize::try_from(author.rng.range(1, 5)).unwrap_or(1);
    let span = author.rng.range(60_000, 600_000);
    for n in 0..people {
        let email = format!("person{n}@example.com");
        if author.rng.chance(2_500) {
            let mut properties = Map::new();
            properties.insert("email".into(), json!(email));
            properties.insert("firstname".into(), json!(format!("Old{n}")));
            author.script.seeded.push(properties);
        }
        for _ in 0..author.rng.range(1, 5) {
            let stamp = START_MS + author.rng.range(0, span);
            let at = stamp + late(&mut author.rng);
            let serial = author.serial();
            let form = Form {
                email: &email,
                phone: author.rng.chance(5_000).then(|| phone(n, serial % 40)),
                first_name: author.rng.chance(5_000).then(|| format!("First{serial}")),
                company: author.rng.chance(3_000).then(|| format!("Company {serial}")),
                consent: author.rng.chance(3_000).then(|| author.rng.chance(5_000)),
            };
            author.form(&form, stamp, at);
        }
        let customer = format!("cus_{n:04}");
        for _ in 0..author.rng.range(0, 5) {
            let stamp = START_MS + author.rng.range(0, span);
            let at = stamp + late(&mut author.rng);
            let serial = author.serial();
            let number = phone(n, serial % 3);
            let number = author.rng.chance(8_000).then_some(number.as_str());
            author.customer(&customer, &email, &format!("Name{}", serial % 3), number, stamp, at);
        }
        for _ in 0..author.rng.range(0, 4) {
            edit(&mut author, &email, span);
        }
        if author.rng.chance(1_200) {
            end_contact(&mut author, &email, span);
        }
    }
    if author.rng.chance(4_000) {
        let at = START_MS + author.rng.range(0, span);
        author.oddity(at);
    }
    if author.rng.chance(3_000) {
        let from_ms = START_MS + author.rng.range(0, span);
        let until_ms = from_ms + author.rng.range(5_000, 60_000);
        let crm = *author.rng.pick(&["hubspot.test", "salesforce.test"]);
        author.script.outages.push(Outage { crm, from_ms, until_ms, firewall: false });
    }
    author.disturb();
    author.script.end_ms = author.script.end_ms.max(START_MS + span);
    author.script
}

/// A person deletes a contact in HubSpot, and perhaps makes it anew.
fn end_contact(author: &mut Author, email: &str, span: i64) {
    let at_ms = START_MS + author.rng.range(10_000, span + 60_000);
    author.script.acts.push(Act { at_ms, email: email.to_owned(), task: Task::Delete });
    if author.rng.chance(5_000) {
        let at_ms = at_ms + author.rng.range(1_000, 120_000);
        author.script.acts.push(Act { at_ms, email: email.to_owned(), task: Task::Create(Map::new()) });
    }
}

/// How late a webhook is: mostly at once, sometimes minutes.
fn late(rng: &mut Rng) -> i64 {
    if rng.chance(2_500) { rng.range(1_000, 300_000) } else { rng.range(50, 2_000) }
}

/// A person edits a contact in HubSpot: a field that HubSpot owns, an opt-out, or a field that another source owns and that must
/// be repaired.
fn edit(author: &mut Author, email: &str, span: i64) {
    let at_ms = START_MS + author.rng.range(10_000, span + 60_000);
    let serial = author.serial();
    let (native, value, fact) = match author.rng.below(10) {
        0..4 => ("jobtitle", format!("Title {serial}"), Some(("job_title", format!("Title {serial}")))),
        4..6 => ("hs_email_optout", "true".to_owned(), Some(("email_consent", "withdrawn".to_owned()))),
        _ => ("company", format!("Wrong {serial}"), None),
    };
    let properties = Map::from_iter([(native.to_owned(), json!(value))]);
    let email = email.to_owned();
    author.script.edits.push(Edit { at_ms, crm: "hubspot.test", object: "contacts", email, properties, fact, person: None });
}
