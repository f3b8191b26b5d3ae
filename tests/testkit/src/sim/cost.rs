//! What one event of each class costs: calls, units and requests, counted while the real handlers run.

use sync::ports::Table;

use super::outside::Trip;
use super::script::{Author, Edit, Form, START_MS, Sending};
use super::tally::Tally;
use super::{Options, Sim, Violation};

/// What the events of a class cost together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The class.
    pub class: &'static str,
    /// How many events of the class there were.
    pub events: u64,
    /// What they cost, with everything that followed from them unless the class says otherwise.
    pub tally: Tally,
}

impl Cost {
    /// Calls of AWS by functions, for each event.
    pub fn calls_per_event(&self) -> f64 {
        self.tally.aws_calls() as f64 / self.events.max(1) as f64
    }
}

/// Contacts of the burst.
const BURST: usize = 60;
/// Virtual time between two steps, in milliseconds.
const STEP_MS: i64 = 3_600_000;
const EMAIL: &str = "ada@example.com";

/// Counts what an event of each class costs. Nothing goes wrong, and two CRMs are written to.
///
/// # Errors
/// The hub never comes to rest.
pub fn costs() -> Result<Vec<Cost>, Violation> {
    let mut hub = Measured::new();
    let (form, echoes) = hub.new_contact()?;
    let mut costs = vec![form];
    costs.push(burst()?);
    costs.push(hub.known_person()?);
    costs.push(hub.edit_at_hubspot()?);
    costs.extend(hub.stripe()?);
    costs.push(hub.duplicate()?);
    costs.push(echoes);
    Ok(costs)
}

/// A simulated hub that counts step by step.
struct Measured {
    sim: Sim,
    author: Author,
    at_ms: i64,
}

impl Measured {
    fn new() -> Measured {
        let author = Author::new(0);
        let sim = Sim::new(0, Author::new(0).script, Options { calm: true, ..Options::default() });
        Measured { sim, author, at_ms: START_MS }
    }

    /// The time of the next step.
    fn next_ms(&mut self) -> i64 {
        self.at_ms = self.at_ms.max(self.sim.shared.now.get()) + STEP_MS;
        self.at_ms
    }

    /// Delivers what the author has written, waits until nothing is under way, and gives what that cost.
    fn run(&mut self) -> Result<Tally, Violation> {
        let sendings = std::mem::take(&mut self.author.script.sendings);
        self.sim.trips.extend(sendings.into_iter().map(|sending| (sending.at_ms, Trip { sending, attempt: 0, crm: None })));
        self.sim.shared.tally.take();
        self.sim.until_quiet()?;
        Ok(self.sim.shared.tally.take())
    }

    fn form(&mut self, email: &str, first_name: &str, number: usize) {
        let at_ms = self.next_ms();
        let phone = Some(format!("+1415555{:04}", 2_000 + number));
        let company = Some("Analytical Engines".to_owned());
        let form = Form { email, phone, first_name: Some(first_name.to_owned()), company, consent: Some(true) };
        self.author.form(&form, at_ms, at_ms);
    }

    /// Events that the hub has accounted for.
    fn events(&self) -> u64 {
        let tables = self.sim.shared.tables.borrow();
        tables.all(Table::Journal).filter(|item| item.key.pk.starts_with("a#")).count() as u64
    }

    /// A form of a new person; and its echoes alone, counted by the events in HubSpot's webhooks.
    fn new_contact(&mut self) -> Result<(Cost, Cost), Violation> {
        self.form(EMAIL, "Ada", 0);
        self.sim.hold_webhooks = true;
        let mut tally = self.run()?;
        let before = self.events();
        self.sim.hold_webhooks = false;
        let echoes = self.run()?;
        tally.add(&echoes);
        let form = Cost { class: "a form of a new person, alone", events: 1, tally };
        let events = self.events() - before;
        Ok((form, Cost { class: "an echo of such a write", events, tally: echoes }))
    }

    fn known_person(&mut self) -> Result<Cost, Violation> {
        self.form(EMAIL, "Augusta", 0);
        Ok(Cost { class: "a form of a known person", events: 1, tally: self.run()? })
    }

    fn edit_at_hubspot(&mut self) -> Result<Cost, Violation> {
        let properties = [("jobtitle".to_owned(), serde_json::json!("Analyst"))].into_iter().collect();
        let (at_ms, email) = (self.next_ms(), EMAIL.to_owned());
        let edit = Edit { at_ms, crm: "hubspot.test", object: "contacts", email, properties, fact: None, person: None };
        self.sim.edits.push(edit);
        Ok(Cost { class: "a field changed at HubSpot", events: 1, tally: self.run()? })
    }

    /// A customer that the hub gets to know, one whose name changes, and one of whom nothing changes that a CRM holds.
    fn stripe(&mut self) -> Result<[Cost; 2], Violation> {
        let mut customer = |name: &str| {
            let at_ms = self.next_ms();
            self.author.customer("cus_1", EMAIL, name, Some("+14155552000"), at_ms, at_ms);
            self.run()
        };
        customer("Ada King")?;
        let changed = Cost { class: "a customer changed at Stripe", events: 1, tally: customer("Ada Lovelace")? };
        let same = Cost { class: "the same with nothing to push", events: 1, tally: customer("Ada Lovelace")? };
        Ok([changed, same])
    }

    fn duplicate(&mut self) -> Result<Cost, Violation> {
        self.form(EMAIL, "Augusta", 0);
        let sending = self.author.script.sendings[0].clone();
        self.run()?;
        let at_ms = self.next_ms();
        self.author.script.sendings.push(Sending { at_ms, ..sending });
        Ok(Cost { class: "a duplicate", events: 1, tally: self.run()? })
    }
}

/// Forms of many new people at the same time.
fn burst() -> Result<Cost, Violation> {
    let mut hub = Measured::new();
    for n in 0..BURST {
        hub.form(&format!("person{n}@example.com"), "Ada", n);
        hub.at_ms -= STEP_MS;
    }
    Ok(Cost { class: "a form of a new person, 60 at once", events: BURST as u64, tally: hub.run()? })
}
