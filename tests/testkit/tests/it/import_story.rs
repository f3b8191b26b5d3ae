//! Two CRMs that are full when the hub meets them: a plan shows exactly what the import then does, nobody is renamed, and nothing is
//! joined that an independent list does not join.

use std::collections::{BTreeMap, BTreeSet};

use canonical::ObjectType;
use sandbox::IDS_AND_TIMES;
use serde_json::{Map, Value};
use sync::import::{Filter, Import, ImportState, Scope, count_results, read_import, send_step, store_import};
use sync::ports::Table;
use sync::rehearsal::{Rehearsal, rehearse};
use testkit::sim::{Crm, START_MS, Story};

const YEAR_MS: i64 = 365 * 86_400_000;

/// People of HubSpot, of Salesforce, and of both.
const HUBSPOT: usize = 2_000;
const SALESFORCE: usize = 1_500;
const BOTH: usize = 300;
/// People with different addresses who share a switchboard, ten to a number, half of them in each CRM.
const AT_A_SWITCHBOARD: usize = 40;
/// People whom Salesforce has twice.
const DUPLICATES: usize = 15;

fn native(crm: Crm) -> &'static str {
    match crm {
        Crm::HubSpot => "contacts",
        Crm::Salesforce => "Contact",
    }
}

fn person(n: usize) -> (String, String, String) {
    (format!("person{n}@example.com"), format!("First{n}"), format!("Last{n}"))
}

fn switchboard(n: usize) -> String {
    format!("+49305550{:03}", n % (AT_A_SWITCHBOARD / 10))
}

/// Adds one person to a CRM, a while ago.
fn add(story: &Story, crm: Crm, n: usize, phone: Option<&str>, title: Option<&str>) {
    let (email, first, last) = person(n);
    let names = match crm {
        Crm::HubSpot => ["email", "firstname", "lastname", "phone", "jobtitle"],
        Crm::Salesforce => ["Email", "FirstName", "LastName", "Phone", "Title"],
    };
    let values = [Some(email.as_str()), Some(&first), Some(&last), phone, title];
    let properties: Vec<(&str, &str)> = names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
    let at_ms = START_MS - YEAR_MS + i64::try_from(n).unwrap() * 61_000;
    story.seed(crm, native(crm), &properties, at_ms);
}

fn full_crms() -> Story {
    let story = Story::new(|_| {});
    let half = AT_A_SWITCHBOARD / 2;
    for n in 0..HUBSPOT {
        let phone = (n >= HUBSPOT - half).then(|| switchboard(n));
        add(&story, Crm::HubSpot, n, phone.as_deref(), None);
    }
    // The first ones are known to HubSpot as well.
    for n in 0..SALESFORCE - DUPLICATES {
        let n = if n < BOTH { n } else { HUBSPOT + n };
        let phone = (n >= HUBSPOT + SALESFORCE - DUPLICATES - half).then(|| switchboard(n));
        let title = (n % 7 == 0).then_some("Engineer");
        add(&story, Crm::Salesforce, n, phone.as_deref(), title);
    }
    for n in 0..DUPLICATES {
        add(&story, Crm::Salesforce, HUBSPOT + BOTH + n, None, None);
    }
    story
}

type Objects = BTreeMap<String, Map<String, Value>>;

/// The objects of a CRM by id, without what is the CRM's or the hub's own.
fn objects(story: &Story, crm: Crm) -> Objects {
    let own = |(name, value): &(String, Value)| !IDS_AND_TIMES.contains(&name.as_str()) && !value.is_null() && *value != "";
    let records = story.records(crm, native(crm)).into_iter();
    records.map(|record| (record.id, record.properties.into_iter().filter(own).collect())).collect()
}

fn import_of(crm: Crm, story: &Story) -> Import {
    let scope = Scope { objects: vec![native(crm).to_owned()], filters: Vec::new(), sample: None };
    Import::new(crm.connection(), scope, 6_000, None, story.now_ms())
}

fn plan(story: &Story, import: Import) -> Rehearsal {
    let before: Vec<_> = Table::ALL.iter().flat_map(|table| story.items(*table)).collect();
    let written = |story: &Story| [Crm::HubSpot, Crm::Salesforce].map(|crm| objects(story, crm));
    let objects_before = written(story);
    let ports = story.ports();
    let rehearsal = story.finish(rehearse(&ports, story.config(), import)).unwrap_or_else(|failure| panic!("{failure}"));
    let after = Table::ALL.iter().flat_map(|table| story.items(*table));
    let compared = |item: &sync::ports::Item| !item.key.pk.starts_with("bucket#");
    assert!(after.filter(compared).eq(before.into_iter().filter(compared)), "a plan writes nothing");
    assert!(objects_before == written(story), "nor at a CRM");
    rehearsal
}

fn begin(story: &mut Story, mut import: Import) {
    let ports = story.ports();
    import.version = story.finish(read_import(&ports, &import.connection)).unwrap().map_or(0, |earlier| earlier.version);
    assert!(story.finish(store_import(&ports, &mut import)).unwrap());
    story.finish(send_step(&ports, &import, 0)).unwrap();
}

fn imported(story: &Story, crm: Crm) -> (Import, BTreeMap<String, u64>) {
    let ports = story.ports();
    let import = story.finish(read_import(&ports, crm.connection())).unwrap().unwrap();
    let results = story.finish(count_results(&ports, &import)).unwrap();
    (import, results)
}

/// Plans an import, does it, and compares.
fn plan_and_import(story: &mut Story, crm: Crm) -> Rehearsal {
    let import = import_of(crm, story);
    let planned = plan(story, import.clone());
    let before = [Crm::HubSpot, Crm::Salesforce].map(|crm| objects(story, crm));
    begin(story, import);
    story.run();
    let (done, results) = imported(story, crm);
    assert_eq!((done.state, done.read, done.taken), (ImportState::Done, planned.import.read, planned.import.taken));
    assert_eq!(results, planned.results);
    for (crm, before) in [Crm::HubSpot, Crm::Salesforce].into_iter().zip(before) {
        let mine = planned.objects.iter().filter(|((connection, ..), _)| connection == crm.connection());
        let (mut created, mut changed) = (Vec::new(), BTreeMap::new());
        for ((_, _, id), object) in mine {
            let after: Map<String, Value> = object
                .changes
                .iter()
                .filter(|(_, (_, after))| !after.is_null())
                .map(|(n, (_, after))| (n.clone(), after.clone()))
                .collect();
            match object.created {
                true => created.push(Value::Object(after).to_string()),
                false if !after.is_empty() => _ = changed.insert(id.clone(), after),
                false => {}
            }
        }
        let after = objects(story, crm);
        let mut new: Vec<String> =
            after.iter().filter(|(id, _)| !before.contains_key(*id)).map(|(_, o)| Value::Object(o.clone()).to_string()).collect();
        new.sort();
        created.sort();
        assert!(new == created, "{crm:?}: {} created, {} planned", new.len(), created.len());
        let differences = |(id, old): (&String, &Map<String, Value>)| {
            let now = &after[id];
            let differs: Map<String, Value> =
                now.iter().filter(|(n, v)| old.get(*n) != Some(v)).map(|(n, v)| (n.clone(), v.clone())).collect();
            (!differs.is_empty()).then(|| (id.clone(), differs))
        };
        let really: BTreeMap<String, Map<String, Value>> = before.iter().filter_map(differences).collect();
        assert!(really == changed, "{crm:?}: {} changed, {} planned", really.len(), changed.len());
    }
    planned
}

#[test]
fn a_plan_predicts_the_import_of_two_full_crms() {
    let mut story = full_crms();
    let originals = [Crm::HubSpot, Crm::Salesforce].map(|crm| objects(&story, crm));

    let first = plan_and_import(&mut story, Crm::HubSpot);
    assert_eq!(first.results, BTreeMap::from([("new".to_owned(), HUBSPOT as u64)]));
    let at = |plan: &Rehearsal, crm: Crm, what: fn(&sync::write_log::PlannedObject) -> bool| {
        plan.objects.iter().filter(|((connection, ..), object)| connection == crm.connection() && what(object)).count()
    };
    assert_eq!(at(&first, Crm::Salesforce, |object| object.created), HUBSPOT - BOTH);
    assert_eq!(at(&first, Crm::Salesforce, |object| object.adopted), BOTH);

    assert_eq!((first.reviews, &first.parked), (0, &BTreeMap::new()));

    let second = plan_and_import(&mut story, Crm::Salesforce);
    assert_eq!(second.reviews, DUPLICATES as u64, "people whom Salesforce has twice are for a person to decide");
    let only_salesforce = SALESFORCE - DUPLICATES - BOTH;
    assert_eq!(at(&second, Crm::HubSpot, |object| object.created), only_salesforce);

    // The independent list: one person for each address, and an object for each time that a CRM had it.
    for golden in story.golden(ObjectType::Contact) {
        let email = golden.fields["email"].value.to_string();
        for member in &golden.members {
            let crm = if member.connection == "hubspot" { Crm::HubSpot } else { Crm::Salesforce };
            let object = &objects_of(&originals, crm).get(&member.id);
            let own = object.map(|o| o.get("email").or(o.get("Email")).and_then(Value::as_str).unwrap_or_default());
            assert!(own.is_none_or(|own| own == email), "{member} was joined with {email}");
        }
    }
    let people: BTreeSet<String> =
        (0..HUBSPOT).chain(HUBSPOT + BOTH..HUBSPOT + SALESFORCE - DUPLICATES).map(|n| person(n).0).collect();
    let known: BTreeSet<String> = story.golden(ObjectType::Contact).iter().map(|g| g.fields["email"].value.to_string()).collect();
    assert!(known == people, "{} people, expected {}", known.len(), people.len());
    assert_eq!(story.golden(ObjectType::Contact).len(), people.len() + DUPLICATES, "nobody joins them by himself");

    for (crm, names) in [(Crm::HubSpot, ["firstname", "lastname"]), (Crm::Salesforce, ["FirstName", "LastName"])] {
        let after = objects(&story, crm);
        for (id, before) in objects_of(&originals, crm) {
            let now = after.get(id).unwrap_or_else(|| panic!("{crm:?} {id} is gone"));
            assert!(
                names.iter().all(|name| before.get(*name) == now.get(*name)),
                "{crm:?} {id} was renamed: {before:?}, {now:?}"
            );
        }
    }
    assert_eq!(objects(&story, Crm::HubSpot).len(), HUBSPOT + only_salesforce);
    assert_eq!(objects(&story, Crm::Salesforce).len(), SALESFORCE + HUBSPOT - BOTH);
}

fn objects_of(all: &[Objects; 2], crm: Crm) -> &Objects {
    &all[usize::from(crm == Crm::Salesforce)]
}

#[test]
fn an_import_has_a_scope_a_canary_a_pause_and_an_end() {
    let mut story = Story::new(|_| {});
    for n in 0..450 {
        add(&story, Crm::HubSpot, n, None, (n % 2 == 0).then_some("Engineer"));
    }
    let filters = vec![Filter::parse("job_title=Engineer").unwrap()];
    let scope = Scope { objects: vec!["contacts".to_owned()], filters, sample: None };
    let import = Import::new("hubspot", scope, 60, Some(10), story.now_ms());
    let started_ms = story.now_ms();
    begin(&mut story, import);
    story.run();
    let (canary, results) = imported(&story, Crm::HubSpot);
    assert_eq!((canary.state, canary.read), (ImportState::CanaryDone, 450));
    assert!((8..40).contains(&canary.taken), "{} of 225", canary.taken);
    assert_eq!(results, BTreeMap::from([("new".to_owned(), canary.taken)]));
    assert_eq!(story.records(Crm::Salesforce, "Contact").len() as u64, canary.taken);

    let ports = story.ports();
    let mut rest = canary.clone();
    rest.go_on_after_canary();
    rest.state = ImportState::Paused;
    assert!(story.finish(store_import(&ports, &mut rest)).unwrap());
    story.finish(send_step(&ports, &rest, 0)).unwrap();
    story.run();
    assert_eq!(imported(&story, Crm::HubSpot).0.taken, canary.taken, "a paused import takes nothing");

    rest.state = ImportState::Running;
    assert!(story.finish(store_import(&ports, &mut rest)).unwrap());
    // The request comes twice: each page is taken once.
    story.finish(send_step(&ports, &rest, 0)).unwrap();
    story.finish(send_step(&ports, &rest, 0)).unwrap();
    story.run();
    let (done, results) = imported(&story, Crm::HubSpot);
    assert_eq!((done.state, done.taken), (ImportState::Done, 225));
    assert_eq!(results, BTreeMap::from([("new".to_owned(), 225)]));
    assert_eq!(story.records(Crm::Salesforce, "Contact").len(), 225);
    assert!(story.now_ms() - started_ms > 100_000, "60 a minute is not faster");
}
