//! Long texts that change often: histories stay small, and no record gets stuck.

use canonical::ObjectType;
use sync::ports::{Clock, Table};
use testkit::twin::finish;

use super::hub::{Hub, text};

#[test]
fn long_texts_that_change_often_go_on_reaching_the_destination() {
    let hub = Hub::new();
    for version in 0..10 {
        let long = |field: &str| format!("{field} {version} {}", "x".repeat(60_000));
        let (title, city, line) = (long("title"), long("city"), long("line"));
        let fields =
            [("email", "ada@example.com"), ("job_title", title.as_str()), ("address_city", &city), ("address_line", &line)];
        let dispatch = hub.store(ObjectType::Contact, "c1", &fields);
        hub.push("hubspot", &[dispatch]);
        let there = hub.records("hubspot", "contacts");
        assert_eq!(hub.parked("hubspot"), Vec::<String>::new(), "version {version}");
        assert_eq!((there.len(), text(&there[0], "jobtitle")), (1, title.as_str()), "version {version}");
        finish(hub.twin.sleep(60_000));
    }
    let bytes = |table: Table| {
        let tables = hub.twin.tables.borrow();
        tables.all(table).filter_map(|item| item.b("sealed").map(<[u8]>::len)).max().unwrap_or(0)
    };
    assert!(bytes(Table::Links) < 20_000, "a link recognises texts by a hash: {} bytes", bytes(Table::Links));
    assert!(bytes(Table::Audit) < 20_000, "and so does the audit log: {} bytes", bytes(Table::Audit));
    assert!(bytes(Table::Golden) < 200_000, "a record has each text once: {} bytes", bytes(Table::Golden));
}
