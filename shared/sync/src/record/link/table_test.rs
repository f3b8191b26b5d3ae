//! The link's state machine as a table: what each transition makes of each state.
//!
//! A state is the object (`N` none, `L` live, `G` gone, `M` moved to another record) with the push (`C` confirmed, `F` in flight,
//! `O` outcome unknown, `U` unverified). A link that moved has no push. In a cell, `-` means that the transition is not legal in
//! this state, and `.` that no such link may be stored (`Link::check`), so that the transition cannot meet one. A new state, or a
//! new public method that changes a link, must get its column or its row: otherwise a test here fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use canonical::{FieldName, Fields, Stamp, Value};
use serde_json::Map;

use super::{Found, Lease, Link, LinkedObject, Object, Push, PushedField, ReadBack, Reported, Sent, SetAside};

/// One row for each transition. Brackets tell rows of the same method apart; after a colon stand the states of the other link.
const TABLE: &str = "
transition                                NC NF NO NU LC LF LO LU GC GF GO GU M

mark_unverified                           NU NO NO NU LU LO LO LU GU GO GO GU -
recheck_if_due                            NU NO NO NU LU LO LO LU GU GO GO GU .
recheck_if_due (not yet)                  NC NF NO NU LC LF LO LU GC GF GO GU M
mark_up_to_date                           NC NF NO NU LC LF LO LU GC GF GO GU M
take_lease                                NC NO NO NU LC LO LO LU -  -  -  -  -
take_lease (with a duplicate)             .  .  .  .  LU LO LO LU -  -  -  -  .
take_lease (with a pending create)        .  .  NO NU .  .  LO LU .  .  -  -  .
release                                   NC NF NO NU LC LF LO LU GC GF GO GU -

adopt                                     -  -  LO LU -  -  LO LU -  -  -  -  -
add_duplicate                             -  -  -  -  LC LF LO LU GC GF GO GU -
finish_look_up                            -  -  NC NC -  -  LC LC -  -  GC GC -
finish_look_up (with a pending create)    .  .  NC NC .  .  LC LC .  .  GC GC .

begin_merge                               -  -  -  -  LU -  -  -  GU -  -  -  -
merge_not_made                            -  -  -  -  -  -  -  LU -  -  -  GU -
merged_at_destination                     -  -  -  -  -  -  -  LU -  -  -  LU -
merge_refused                             NC NF NO NU LC LF LO LU GC GF GO GU -
merge_refused (of a duplicate)            .  .  .  .  LC LF LO LU GC GF GO GU .

intend_push                               NF -  -  -  LF -  -  -  -  -  -  -  -
confirm_push                              -  LU -  -  -  LU -  -  -  -  -  -  -
note_created                              -  -  -  -  LC LF LO LU -  -  -  -  -
note_read_back                            -  -  -  -  -  -  -  LC -  -  -  -  -
note_read_back (undone by a late worker)  -  -  -  -  -  -  -  LU -  -  -  -  .
push_not_made                             -  NC NU -  -  LC LU -  -  -  -  -  -
push_outcome_unknown                      -  NO NO -  -  LO LO -  -  -  -  -  -
give_up_push                              NC NU NU NU LC LU LU LU GC GU GU GU -
key_is_taken                              -  NU -  -  -  LU -  -  -  -  -  -  -
key_is_taken (the second time)            -  -  -  -  -  -  -  -  -  -  -  -  .
leave_out                                 NC NF NO NU LC LF LO LU GC GF GO GU -
take_back                                 NC NF NO NU LC LF LO LU GC GF GO GU .
refuse                                    NC NF NO NU LC LF LO LU GC GF GO GU -

note_deleted                              NC NF NO NU GC GF GO GU GC GF GO GU -
note_deleted (of a duplicate)             .  .  .  .  LC LF LO LU GC GF GO GU .
note_deleted (with a duplicate)           .  .  .  .  LU LO LO LU GC GF GO GU .
note_alive                                NC NF NO NU LC LF LO LU LU LO LO LU -
note_alive (of a duplicate)               .  .  .  .  LC LF LO LU GC GF GO GU .
replace_gone                              NC NF NO NU LC LF LO LU LU LO LO LU -
note_merged                               LU LO LO LU LU LO LO LU LU LO LO LU -
note_merged (of a duplicate)              .  .  .  .  LU LO LO LU LU LO LO LU .
note_reported                             NC NF NO NU LC LF LO LU GC GF GO GU -
forget_unmentioned                        NC NF NO NU LC LF LO LU GC GF GO GU M

retire                                    M  M  M  M  M  M  M  M  M  M  M  M  -
absorb: NC NF NO NU                       NU NO NO NU LU LO LO LU GU GO GO GU -
absorb: LC LF LO LU                       LU LO LO LU LU LO LO LU LU LO LO LU -
absorb: GC GF GO GU                       GU GO GO GU LU LO LO LU GU GO GO GU -
absorb: M                                 -  -  -  -  -  -  -  -  -  -  -  -  -
absorb_late_create                        LU LO LO LU LC LF LO LU LU LO LO LU -
absorb_late_create (of its own object)    LU LO LO LU LU LO LO LU GU GO GO GU -
split_off                                 NU NO NO NU LU LO LO LU GU GO GO GU -
split_off (of its own object)             NU NO NO NU NU NU NU NU NU NU NU NU -
split_off (with a duplicate that stays)   .  .  .  .  LU LU LU LU LU LU LU LU .
with_changes_of_others: NC NF             NC NF NO NU LC LF LO LU GC GF GO GU -
with_changes_of_others: NO NU             NU NO NO NU LU LO LO LU GU GO GO GU -
with_changes_of_others: LC LF             LU LO LO LU LC LF LO LU GC GF GO GU -
with_changes_of_others: LO LU             LU LO LO LU LU LO LO LU GU GO GO GU -
with_changes_of_others: GC GF             GU GO GO GU GC GF GO GU GC GF GO GU -
with_changes_of_others: GO GU             GU GO GO GU GU GO GO GU GU GO GO GU -
with_changes_of_others: M                 -  -  -  -  -  -  -  -  -  -  -  -  -
";

const PUSHES: [Push; 4] = [Push::Confirmed, Push::InFlight, Push::OutcomeUnknown, Push::Unverified];
const FIELD: &str = "phone";

/// How a state is written in the table. A new state does not compile until it is named here.
fn name(link: &Link) -> String {
    let object = match link.object {
        Object::None => "N",
        Object::Live(_) => "L",
        Object::Gone(_) => "G",
        Object::MovedTo(_) => "M",
    };
    let push = match link.push {
        _ if object == "M" => "",
        Push::Confirmed => "C",
        Push::InFlight => "F",
        Push::OutcomeUnknown => "O",
        Push::Unverified => "U",
    };
    format!("{object}{push}")
}

/// A link in each state, by the state's name. Its object is `own`, and a worker has the lease.
fn states() -> BTreeMap<String, Link> {
    let own = || LinkedObject::new("own".to_owned());
    let lease = Lease { fencing_token: 1, until_ms: 100, recheck_at_ms: None };
    let mut states: Vec<Link> = PUSHES
        .into_iter()
        .flat_map(|push| [Object::None, Object::Live(own()), Object::Gone(own())].map(|object| (object, push)))
        .map(|(object, push)| Link { object, push, lease: lease.clone(), ..Link::default() })
        .collect();
    let moved = Lease { until_ms: 0, ..lease };
    states.push(Link { object: Object::MovedTo("survivor".into()), lease: moved, ..Link::default() });
    states.into_iter().map(|link| (name(&link), link)).collect()
}

/// A change of a link, before the transition or by it.
type Change = fn(&mut Link);

/// The transitions that concern one link: the label of the row, what the link has before, the transition.
const TRANSITIONS: &[(&str, Change, Change)] = &[
    ("mark_unverified", nothing, Link::mark_unverified),
    ("recheck_if_due", recheck, |link| link.recheck_if_due(200)),
    ("recheck_if_due (not yet)", nothing, |link| link.recheck_if_due(200)),
    ("mark_up_to_date", nothing, |link| _ = link.mark_up_to_date(7)),
    ("take_lease", nothing, |link| link.take_lease(300, Some(900), true)),
    ("take_lease (with a duplicate)", duplicate, |link| link.take_lease(300, None, true)),
    ("take_lease (with a pending create)", pending_create, |link| link.take_lease(300, None, true)),
    ("release", nothing, |link| link.release(200)),
    ("adopt", nothing, |link| _ = link.adopt(found())),
    ("add_duplicate", nothing, |link| link.add_duplicate("duplicate".to_owned())),
    ("finish_look_up", nothing, Link::finish_look_up),
    ("finish_look_up (with a pending create)", pending_create, Link::finish_look_up),
    ("begin_merge", nothing, |link| link.begin_merge(200)),
    ("merge_not_made", nothing, |link| link.merge_not_made(&Link::default())),
    ("merged_at_destination", nothing, |link| link.merged_at_destination("duplicate", "remains".to_owned())),
    ("intend_push", nothing, intend_push),
    ("confirm_push", nothing, |link| link.confirm_push("own".to_owned(), 7)),
    ("note_created", nothing, |link| link.note_created(Stamp::at(50))),
    ("note_read_back", nothing, |link| read_back(link, "+14155550102")),
    ("note_read_back (undone by a late worker)", late_worker, |link| read_back(link, "+14155550101")),
    ("push_not_made", nothing, Link::push_not_made),
    ("push_outcome_unknown", nothing, Link::push_outcome_unknown),
    ("give_up_push", nothing, |link| _ = link.give_up_push()),
    ("key_is_taken", nothing, |link| link.key_is_taken(7, [], true)),
    ("key_is_taken (the second time)", |link| link.refused_at = Some(7), |link| link.key_is_taken(7, [], true)),
    ("leave_out", nothing, |link| link.leave_out("phone".to_owned(), refused(), &[FieldName::from(FIELD)])),
    ("take_back", |link| _ = link.set_aside.insert("phone".to_owned(), refused()), |link| _ = link.take_back(|_, _| false)),
    ("refuse", nothing, |link| link.refuse(7)),
    ("merge_refused", nothing, |link| link.merge_refused("duplicate")),
    ("merge_refused (of a duplicate)", duplicate, |link| link.merge_refused("duplicate")),
    ("note_deleted", nothing, |link| _ = link.note_deleted("own")),
    ("note_deleted (of a duplicate)", duplicate, |link| _ = link.note_deleted("duplicate")),
    ("note_deleted (with a duplicate)", duplicate, |link| _ = link.note_deleted("own")),
    ("note_alive", nothing, |link| _ = link.note_alive("own")),
    ("note_alive (of a duplicate)", duplicate, |link| _ = link.note_alive("duplicate")),
    ("replace_gone", nothing, |link| _ = link.replace_gone("other")),
    ("note_merged", nothing, |link| link.note_merged("own", "other")),
    ("note_merged (of a duplicate)", duplicate, |link| link.note_merged("duplicate", "other")),
    ("note_reported", nothing, note_reported),
    ("forget_unmentioned", nothing, |link| link.forget_unmentioned(|_| false, Stamp::at(50))),
    ("retire", nothing, |link| _ = link.retire(&"survivor".into())),
    ("absorb_late_create", nothing, |link| link.absorb_late_create("other")),
    ("split_off", nothing, |link| drop(link.split_off(&"own record".into(), &BTreeSet::new()))),
    ("split_off (of its own object)", nothing, split_off_own),
    ("split_off (with a duplicate that stays)", duplicate, split_off_own),
    ("absorb_late_create (of its own object)", nothing, |link| link.absorb_late_create("own")),
];

/// A change of a link by another one.
type ChangeBy = fn(&mut Link, Link);

/// The transitions that concern two links.
const WITH_ANOTHER: &[(&str, ChangeBy)] = &[
    ("absorb", |link, retired| link.absorb(&"survivor".into(), &"retired".into(), retired)),
    ("with_changes_of_others", |link, stored| {
        let base = Link { push: Push::Confirmed, ..link.clone() };
        *link = link.with_changes_of_others(&base, &stored);
    }),
];

fn nothing(_: &mut Link) {}

fn recheck(link: &mut Link) {
    link.lease.recheck_at_ms = Some(200);
}

fn duplicate(link: &mut Link) {
    link.duplicates_to_merge.insert("duplicate".to_owned());
}

fn split_off_own(link: &mut Link) {
    drop(link.split_off(&"own record".into(), &BTreeSet::from(["own".to_owned()])));
}

fn pending_create(link: &mut Link) {
    link.pending_creates.insert("retired".into(), 200);
}

fn sent_twice(link: &mut Link) {
    let sent = |number: &str| Sent { value: Value::Text(number.to_owned()), stamp: None, intended_ms: 10 };
    link.knowledge.sent.insert(FieldName::from(FIELD), vec![sent("+14155550101"), sent("+14155550102")]);
}

fn late_worker(link: &mut Link) {
    sent_twice(link);
    recheck(link);
}

fn refused() -> SetAside {
    SetAside { code: "REFUSED".to_owned(), value: String::new(), generation: 1, until_ms: None }
}

fn found() -> Found {
    Found { id: "own".to_owned(), marked: false, stamp: Stamp::at(50), values: Fields::default() }
}

fn intend_push(link: &mut Link) {
    link.intend_push([PushedField { name: &FieldName::from(FIELD), value: None, properties: &[] }], 60);
}

fn read_back(link: &mut Link, number: &str) {
    let (name, sent) = (FieldName::from(FIELD), Value::Text("+14155550102".to_owned()));
    let values = Fields::from_iter([(name.clone(), Value::Text(number.to_owned()))]);
    let fields = [PushedField { name: &name, value: Some(&sent), properties: &[] }];
    link.note_read_back(&ReadBack { fields: &fields, sent: &Map::new(), values: &values, stamp: Stamp::at(50) });
}

fn note_reported(link: &mut Link) {
    let (field, value, stamp) = (&FieldName::from(FIELD), &Value::Null, Stamp::at(50));
    link.note_reported(&Reported { field, value, stamp, own_stamp: true, of_duplicate: false, tolerance_ms: 0 });
}

/// What a transition makes of a link, as the table writes it.
fn cell(mut link: Link, before: Change, transition: impl FnOnce(&mut Link)) -> String {
    before(&mut link);
    if link.check().is_err() {
        return ".".to_owned();
    }
    let result = catch_unwind(AssertUnwindSafe(|| transition(&mut link)));
    let Err(panic) = result else {
        return match link.check() {
            Ok(()) => name(&link),
            Err(rule) => format!("{}: {rule}", name(&link)),
        };
    };
    let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    if message.contains("is not allowed for a link") { "-".to_owned() } else { format!("panic: {message}") }
}

/// The rows of the table: label, and cells by state.
fn expected() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty());
    let head = lines.next().unwrap_or_default();
    let width = head.find("NC").unwrap();
    let (_, columns) = head.split_at(width);
    let columns: Vec<String> = columns.split_whitespace().map(str::to_owned).collect();
    let mut rows = BTreeMap::new();
    for line in lines {
        let (label, cells) = line.split_at(width);
        let cells: BTreeMap<_, _> = columns.iter().cloned().zip(cells.split_whitespace().map(str::to_owned)).collect();
        let labels = match label.trim().split_once(": ") {
            Some((method, others)) => others.split_whitespace().map(|other| format!("{method}: {other}")).collect(),
            None => vec![label.trim().to_owned()],
        };
        for label in labels {
            assert!(rows.insert(label.clone(), cells.clone()).is_none(), "the table has two rows `{label}`");
        }
    }
    rows
}

#[test]
#[cfg(debug_assertions)]
fn every_transition_has_the_stated_result_in_every_state() {
    let states = states();
    let mut actual: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (state, link) in &states {
        for (label, before, transition) in TRANSITIONS {
            let result = cell(link.clone(), *before, transition);
            actual.entry((*label).to_owned()).or_default().insert(state.clone(), result);
        }
        for ((method, transition), (other, with)) in
            WITH_ANOTHER.iter().flat_map(|transition| states.iter().map(move |other| (transition, other)))
        {
            let result = cell(link.clone(), nothing, |link| transition(link, with.clone()));
            actual.entry(format!("{method}: {other}")).or_default().insert(state.clone(), result);
        }
    }
    let expected = expected();
    let labels: BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    let wrong: Vec<String> = labels
        .into_iter()
        .filter(|label| actual.get(*label) != expected.get(*label))
        .map(|label| format!("{label}\n  stated: {:?}\n  actual: {:?}", expected.get(label), actual.get(label)))
        .collect();
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_state_is_legal_and_every_other_combination_is_not() {
    for (state, link) in states() {
        assert_eq!(link.check(), Ok(()), "{state}");
        let moved = matches!(link.object, Object::MovedTo(_));
        for push in PUSHES {
            let link = Link { push, ..link.clone() };
            assert_eq!(link.check().is_ok(), !moved || push == Push::Confirmed, "{:?} {push:?}", link.object);
        }
    }
}

/// The public methods in the files of this folder that take a link by `&mut self`, or return one.
fn methods() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/record/link");
    let mut methods = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for part in text.split("\n    pub fn ").skip(1) {
            let signature = part.split('{').next().unwrap_or_default();
            if signature.contains("&mut self") || signature.contains("-> Link") {
                methods.insert(signature.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
        }
    }
    methods
}

#[test]
fn every_method_that_changes_a_link_is_in_the_table() {
    let methods = methods();
    assert!(methods.contains("intend_push") && methods.contains("with_changes_of_others"), "{methods:?}");
    let rows: BTreeSet<String> = expected().keys().map(|label| label.split([' ', ':']).next().unwrap().to_owned()).collect();
    let missing: Vec<&String> = methods.difference(&rows).collect();
    assert!(missing.is_empty(), "the table has no row for {missing:?}");
}
