//! Budgets of calls: how many calls of AWS an event of each class may cost. `cargo hub cost --calls` shows what they are. Whoever
//! makes the hub chattier raises a budget here, and says why.

use testkit::sim::costs;

/// Calls of AWS by functions for each event of a class: about 40 % more than were counted when the budgets were made.
const BUDGETS: &[(&str, f64)] = &[
    ("a form of a new person, alone", 146.0),
    ("a form of a new person, 60 at once", 140.0),
    ("a form of a known person", 96.0),
    ("a field changed at HubSpot", 65.0),
    ("a customer changed at Stripe", 61.0),
    ("the same with nothing to push", 15.0),
    ("a duplicate", 12.0),
    ("an echo of such a write", 11.0),
];

#[test]
fn no_class_of_events_is_chattier_than_its_budget() {
    let costs = costs().unwrap_or_else(|violation| panic!("{violation}"));
    let classes: Vec<&str> = costs.iter().map(|cost| cost.class).collect();
    assert_eq!(classes, BUDGETS.iter().map(|(class, _)| *class).collect::<Vec<_>>());
    let mut over = Vec::new();
    for (cost, (class, budget)) in costs.iter().zip(BUDGETS) {
        println!("{class}: {:.1} calls", cost.calls_per_event());
        if cost.calls_per_event() > *budget {
            over.push(format!("{class}: {:.1} calls, {budget} allowed", cost.calls_per_event()));
        }
    }
    assert!(over.is_empty(), "over budget: {over:#?}");
}
