//! Pauses: what is held, and that nothing is held after the end of a pause.

use canonical::{Dispatch, ObjectType};
use sync::failure::Code;
use sync::pause::{Pause, held_partition, hold_dispatch, pause_key};
use sync::ports::{Attr, Condition, Item, Store, Table, Write};
use testkit::sim::Stepper;

fn dispatch() -> Dispatch {
    let (trace, received_at_ms) = (String::new(), 0);
    Dispatch { object: ObjectType::Contact, record: "g1".into(), version: 1, trace, received_at_ms }
}

#[test]
fn a_dispatch_is_held_only_while_its_destination_is_paused() {
    let stepper = Stepper::new(1, 1_000_000);
    let ports = stepper.ports();
    let pause = Pause { reason: "maintenance".to_owned(), until_ms: None, key: pause_key("hubspot") };
    let item = Item::new(pause_key("hubspot")).with("reason", Attr::S(pause.reason.clone()));
    let held = || {
        let page = stepper.run(ports.query(Table::Control, &held_partition("hubspot"), "", 10, None), None);
        page.unwrap().unwrap().items.len()
    };
    let begin = vec![Write::Put { table: Table::Control, item, condition: Condition::Always }];
    stepper.run(ports.write(begin, None), None).unwrap().unwrap();
    stepper.run(hold_dispatch(ports, "hubspot", &pause, &dispatch()), None).unwrap().unwrap();
    assert_eq!(held(), 1);

    // Somebody resumes the destination and sends what is held, while a worker has read the pause and not held its dispatch yet.
    let sent = page_key(&dispatch());
    let end = vec![
        Write::Delete { table: Table::Control, key: pause_key("hubspot"), condition: Condition::Always },
        Write::Delete { table: Table::Control, key: sent, condition: Condition::Always },
    ];
    stepper.run(ports.write(end, None), None).unwrap().unwrap();
    let late = stepper.run(hold_dispatch(ports, "hubspot", &pause, &dispatch()), None).unwrap();
    assert_eq!(late.map_err(|failure| failure.code), Err(Code::WriteConflict), "the message comes again");
    assert_eq!(held(), 0);
}

fn page_key(dispatch: &Dispatch) -> sync::ports::Key {
    sync::ports::Key::new(held_partition("hubspot"), format!("{}#{}", dispatch.object, dispatch.record))
}
