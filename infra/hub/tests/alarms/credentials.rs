//! The alarms about credentials: a connection whose token cannot be refreshed, and a grant that ends soon.

use super::*;

/// A token that is over and a grant that is gone; then a person connects again.
pub fn credentials(watched: &mut Watched) {
    let names = ["HubspotCredentialsAlarm", "SalesforceCredentialsAlarm"];
    for connection in ["hubspot", "salesforce"] {
        let end = Write::Delete { table: Table::Control, key: pause_key(connection), condition: Condition::Always };
        finish(watched.twin.write(vec![end], None)).expect("resumed");
    }
    for host in ["api.hubapi.com", "example.my.salesforce.com"] {
        let gone =
            |_: &HttpRequest| HttpResponse { status: 400, headers: Vec::new(), body: br#"{"error":"invalid_grant"}"#.to_vec() };
        watched.twin.answers.borrow_mut().insert(host.to_owned(), gone);
    }
    watched.refresh();
    watched.is_quiet(&names);
    let over = r#"{"access_token":"a","refresh_token":"r","client_id":"c","client_secret":"s","expires_at":1}"#;
    watched.store("over", over);
    watched.refresh();
    watched.goes_off(&names);
    watched.store("connected", &over.replace(":1}", ":9000000000000}"));
    watched.run(Job::Watch);
    watched.wait(16 * MINUTE);
    watched.refresh();
    watched.is_over(&names);
    watched.is_over(&["HubspotPausedAlarm", "SalesforcePausedAlarm"]);
}

pub fn grant_ending(watched: &mut Watched) {
    let names = ["HubspotGrantEndingAlarm", "SalesforceGrantEndingAlarm"];
    let now_ms = watched.twin.now_ms();
    let grant = |days: i64| {
        let ends = now_ms + days * 86_400_000;
        format!(r#"{{"access_token":"a","refresh_token":"r","expires_at":9000000000000,"grant_ends_at":{ends}}}"#)
    };
    watched.store("two-months", &grant(60));
    watched.refresh();
    watched.is_quiet(&names);
    watched.wait(54 * 24 * HOUR);
    watched.refresh();
    watched.goes_off(&names);
    watched.store("connected-again", &grant(365));
    watched.wait(16 * MINUTE);
    watched.refresh();
    watched.is_over(&names);
}
