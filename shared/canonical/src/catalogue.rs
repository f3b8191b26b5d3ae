//! The field catalogue: every canonical field, once. Adding a field here, a line in a mapping file and a fixture is all
//! that a new field takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ObjectType, Value};

macro_rules! kinds {
    ($($variant:ident $(($payload:ty))? $name:literal $form:literal;)+) => {
        /// What a field holds and how its text is normalised.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FieldKind {
            $(#[doc = $form] $variant $(($payload))?,)+
        }

        /// A [`FieldKind`] without what a single field adds to it: the members of a list, the object of a reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ValueKind {
            $(#[doc = $form] $variant,)+
        }

        impl ValueKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [ValueKind] = &[$(ValueKind::$variant),+];

            /// The names of all kinds, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name used in mapping files (`as = "email"`) and in the data dictionary.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ValueKind::$variant => $name,)+
                }
            }

            /// The canonical form of a value, in one sentence.
            pub const fn form(self) -> &'static str {
                match self {
                    $(ValueKind::$variant => $form,)+
                }
            }
        }

        impl FieldKind {
            /// The kind alone.
            pub const fn value_kind(self) -> ValueKind {
                match self {
                    $(FieldKind::$variant { .. } => ValueKind::$variant,)+
                }
            }
        }
    };
}

kinds! {
    Text "text" "Free text, trimmed, without control characters.";
    Name "name" "A person's or company's name: trimmed, white space inside folded to one blank, invisible characters taken out, never split.";
    Email "email" "An e-mail address in lower case, the domain in ASCII by UTS 46. `Jo <jo@a.example>` becomes `jo@a.example`; two addresses are a problem.";
    Phone "phone" "A telephone number in E.164, valid by its country's numbering plan. A national number needs a region. A number with an extension is flagged, without the extension.";
    Country "country" "An ISO 3166-1 alpha-2 code, from an alpha-2 or alpha-3 code or a name, as Unicode CLDR, ISO or drop-down lists write it.";
    Currency "currency" "An ISO 4217 code.";
    Money "money" "An exact amount in minor units with its currency. An amount with more decimals than its currency has is a problem; only the noise of a binary fraction (`0.30000000000000004`) is rounded.";
    Date "date" "A calendar day without a zone: `2026-01-31`. An instant becomes a day only with `zone`. The years 1, 1604, 4501 and 9999 mean that there is none.";
    Instant "instant" "A point in time in UTC with the source's precision: `2026-01-31T09:30:00Z`. A day never becomes an instant. The years 1, 1604, 4501 and 9999 mean that there is none.";
    Enum(&'static [&'static str]) "enum" "A member of the catalogue's list. An unknown value is stored as it came and flagged.";
    Bool "bool" "True or false.";
    Int "int" "A whole number of 64 bits.";
    Decimal "decimal" "A decimal number, kept as text so that no digit is lost.";
    Url "url" "An absolute http(s) URL.";
    Domain "domain" "A host name in lower case and ASCII by UTS 46, without `www.`.";
    Industry "industry" "An industry as a lower-case name: `COMPUTER_SOFTWARE` becomes `computer software`.";
    Id "id" "An identifier, kept byte for byte; a number as its digits.";
    Verbatim "verbatim" "Text, kept byte for byte (attribution parameters).";
    Ref(ObjectType) "ref" "Another record of the same connection: `<provider's object name>:<id>`. The id alone is sent.";
    Set(ValueKind) "set" "A sorted list without duplicates, from a list or from one text. Its members have the kind that the catalogue names.";
}

impl FieldKind {
    /// The kind of a field, with the members or the object that only some kinds have.
    pub(crate) fn of(kind: ValueKind, members: impl Fn() -> &'static [&'static str], object: ObjectType) -> FieldKind {
        match kind {
            ValueKind::Text => FieldKind::Text,
            ValueKind::Name => FieldKind::Name,
            ValueKind::Email => FieldKind::Email,
            ValueKind::Phone => FieldKind::Phone,
            ValueKind::Country => FieldKind::Country,
            ValueKind::Currency => FieldKind::Currency,
            ValueKind::Money => FieldKind::Money,
            ValueKind::Date => FieldKind::Date,
            ValueKind::Instant => FieldKind::Instant,
            ValueKind::Enum => FieldKind::Enum(members()),
            ValueKind::Bool => FieldKind::Bool,
            ValueKind::Int => FieldKind::Int,
            ValueKind::Decimal => FieldKind::Decimal,
            ValueKind::Url => FieldKind::Url,
            ValueKind::Domain => FieldKind::Domain,
            ValueKind::Industry => FieldKind::Industry,
            ValueKind::Id => FieldKind::Id,
            ValueKind::Verbatim => FieldKind::Verbatim,
            ValueKind::Ref => FieldKind::Ref(object),
            ValueKind::Set => FieldKind::Set(ValueKind::Name),
        }
    }

    /// See [`ValueKind::name`].
    pub const fn name(self) -> &'static str {
        self.value_kind().name()
    }

    /// Checks that a value has the shape of this kind. `Null` fits every kind.
    pub fn accepts(self, value: &Value) -> Result<(), KindMismatch> {
        let fits = match (self, value) {
            (_, Value::Null) => true,
            (FieldKind::Bool, Value::Bool(_)) | (FieldKind::Int, Value::Int(_)) | (FieldKind::Money, Value::Money(_)) => true,
            (FieldKind::Set(_), Value::List(_)) => true,
            (FieldKind::Bool | FieldKind::Int | FieldKind::Money | FieldKind::Set(_), _) => false,
            (_, Value::Text(_)) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(KindMismatch { kind: self.name(), class: value.class() }) }
    }
}

/// A value whose shape does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindMismatch {
    /// The field's kind.
    pub kind: &'static str,
    /// The class of the value that was met.
    pub class: &'static str,
}

impl fmt::Display for KindMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a value of kind {}, met {}", self.kind, self.class)
    }
}

impl std::error::Error for KindMismatch {}

/// One canonical field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDef {
    /// The object that has it.
    pub object: ObjectType,
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// True when it is personal data: never logged, encrypted at rest, erased on request.
    pub personal: bool,
    /// One sentence for the data dictionary.
    pub doc: &'static str,
}

/// The fields of an object, sorted by name.
pub fn fields_of(object: ObjectType) -> impl Iterator<Item = &'static FieldDef> {
    CATALOGUE.iter().filter(move |field| field.object == object)
}

/// A field of an object by name.
pub fn find_field(object: ObjectType, name: &str) -> Option<&'static FieldDef> {
    CATALOGUE.iter().find(|field| field.object == object && field.name == name)
}

/// The field that holds further values of a field. Each of them identifies its object as the first one does.
pub fn further_values(object: ObjectType, field: &str) -> Option<&'static str> {
    match (object, field) {
        (ObjectType::Contact, "email") => Some("emails"),
        _ => None,
    }
}

/// The name of a field without the `r#` that Rust's keywords need.
const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

macro_rules! catalogue {
    ($($object:ident { $($name:ident: $kind:expr, $privacy:ident, $doc:literal;)+ })+) => {
        const CATALOGUE: &[FieldDef] = &[
            $($(FieldDef {
                object: ObjectType::$object,
                name: plain_name(stringify!($name)),
                kind: { #[allow(unused_imports)] use FieldKind::*; $kind },
                personal: catalogue!(@$privacy),
                doc: $doc,
            },)+)+
        ];
    };
    (@personal) => { true };
    (@plain) => { false };
}

/// Where a contact stands on the way to being a customer.
const LIFECYCLE: &[&str] =
    &["subscriber", "lead", "marketing_qualified", "sales_qualified", "opportunity", "customer", "evangelist", "other"];
const LEAD_STATUS: &[&str] = &["new", "open", "in_progress", "qualified", "unqualified", "converted"];
const DEAL_STAGE: &[&str] = &["qualification", "meeting", "proposal", "negotiation", "contract", "closed_won", "closed_lost"];
const TICKET_STATUS: &[&str] = &["new", "open", "pending", "on_hold", "solved", "closed"];
const PRIORITY: &[&str] = &["low", "normal", "high", "urgent"];
const INVOICE_STATUS: &[&str] = &["draft", "open", "partially_paid", "paid", "void", "uncollectible", "overdue"];
const PAYMENT_STATUS: &[&str] = &[
    "pending",
    "processing",
    "requires_action",
    "succeeded",
    "failed",
    "canceled",
    "refunded",
    "partially_refunded",
    "disputed",
];
const PAYMENT_KIND: &[&str] = &["charge", "intent", "refund", "dispute"];
const SUBSCRIPTION_STATUS: &[&str] =
    &["incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused"];
const ORDER_STATUS: &[&str] = &["open", "complete", "expired", "canceled", "refunded", "partially_refunded"];
const CALL_STATUS: &[&str] =
    &["queued", "initiated", "ringing", "in_progress", "completed", "busy", "failed", "no_answer", "canceled"];
const DIRECTION: &[&str] = &["inbound", "outbound"];
const MEETING_STATUS: &[&str] = &["tentative", "confirmed", "canceled"];
const EMAIL_EVENT: &[&str] = &[
    "queued",
    "sent",
    "delivered",
    "deferred",
    "opened",
    "clicked",
    "bounced",
    "dropped",
    "complained",
    "unsubscribed",
    "resubscribed",
    "rejected",
    "received",
    "rendering_failed",
];
const BOUNCE: &[&str] = &["permanent", "transient", "undetermined"];
const INTERVAL: &[&str] = &["day", "week", "month", "year"];
const CHANNEL: &[&str] = &["email", "sms", "phone", "whatsapp", "any"];
const CONSENT_STATUS: &[&str] = &["granted", "unknown", "pending", "suppressed", "withdrawn"];
const COMPANY_TYPE: &[&str] = &["prospect", "customer", "partner", "vendor", "reseller", "other"];

catalogue! {
    Contact {
        address_city: Text, personal, "City of the postal address.";
        address_country: Country, plain, "Country of the postal address.";
        address_line: Text, personal, "Street and number of the postal address.";
        address_postcode: Text, personal, "Postal code.";
        address_region: Text, personal, "State, province or region of the postal address.";
        balance: Money, plain, "What the person owes (positive) or is owed (negative) at the billing system.";
        birthday: Date, personal, "Date of birth.";
        company: Ref(ObjectType::Company), plain, "The company that the person works for.";
        company_name: Name, plain, "Name of the company, as the source writes it.";
        created_at: Instant, plain, "When the source created the record.";
        currency: Currency, plain, "The currency in which the person is billed.";
        delinquent: Bool, plain, "True when the latest invoice was not paid in time.";
        email: Email, personal, "Primary e-mail address; an identity key.";
        email_consent: Enum(CONSENT_STATUS), plain, "Whether the person may be written to, from the loosest level to the strictest.";
        emails: Set(ValueKind::Email), personal, "Further e-mail addresses.";
        explicit: Bool, plain, "True when the latest word about consent was the person's own act.";
        first_name: Name, personal, "Given name, where the source splits names.";
        full_name: Name, personal, "The whole name, as the source writes it.";
        job_title: Text, plain, "Job title.";
        language: Text, plain, "Preferred language, an IETF tag.";
        last_name: Name, personal, "Family name, where the source splits names.";
        lead_source: Text, plain, "Where the person came from.";
        lifecycle: Enum(LIFECYCLE), plain, "How far the person is on the way to being a customer.";
        mobile: Phone, personal, "Mobile number.";
        notes: Text, personal, "Free description.";
        owner: Id, plain, "Who in the team looks after the person, as the source's id.";
        phone: Phone, personal, "Primary telephone number; an identity key.";
        revenue: Money, plain, "Annual revenue attributed to the person's company.";
        tags: Set(ValueKind::Name), plain, "Labels.";
        timezone: Text, plain, "IANA time zone.";
        website: Url, plain, "Website.";
    }
    Company {
        address_city: Text, plain, "City.";
        address_country: Country, plain, "Country.";
        address_line: Text, plain, "Street and number.";
        address_postcode: Text, plain, "Postal code.";
        address_region: Text, plain, "State, province or region.";
        created_at: Instant, plain, "When the source created the record.";
        description: Text, plain, "Free description.";
        domain: Domain, plain, "Web domain; an identity key.";
        employees: Int, plain, "Number of employees.";
        industry: Industry, plain, "Industry, normalised to a lower-case name.";
        lifecycle: Enum(LIFECYCLE), plain, "How far the company is on the way to being a customer.";
        name: Name, plain, "Company name.";
        owner: Id, plain, "Who in the team looks after the company.";
        parent: Ref(ObjectType::Company), plain, "Parent company.";
        phone: Phone, plain, "Main number.";
        revenue: Money, plain, "Annual revenue.";
        tags: Set(ValueKind::Name), plain, "Labels.";
        r#type: Enum(COMPANY_TYPE), plain, "What the company is to us.";
        website: Url, plain, "Website.";
    }
    Lead {
        amount: Money, plain, "What the inquiry may be worth.";
        answers: Set(ValueKind::Verbatim), personal, "What was answered in a form, as `question=answer`.";
        company: Ref(ObjectType::Company), plain, "The person's company.";
        company_name: Name, plain, "Company, as the person wrote it.";
        contact: Ref(ObjectType::Contact), plain, "The person.";
        created_at: Instant, plain, "When the inquiry was made.";
        email: Email, personal, "E-mail address given.";
        form: Id, plain, "The form that was filled in.";
        full_name: Name, personal, "Name given.";
        message: Text, personal, "What the person wrote.";
        owner: Id, plain, "Who looks after the inquiry.";
        page_url: Verbatim, plain, "The page with the form, as it was sent.";
        phone: Phone, personal, "Telephone number given.";
        score: Int, plain, "Lead score.";
        source: Text, plain, "Where the inquiry came from.";
        status: Enum(LEAD_STATUS), plain, "How far the inquiry is.";
        title: Text, plain, "Title of the inquiry.";
    }
    Deal {
        amount: Money, plain, "Value.";
        close_date: Date, plain, "When it closed or should close.";
        company: Ref(ObjectType::Company), plain, "The buying company.";
        contact: Ref(ObjectType::Contact), plain, "The buying person.";
        created_at: Instant, plain, "When the source created the record.";
        description: Text, plain, "Free description.";
        lost_reason: Text, plain, "Why it was lost.";
        name: Text, plain, "Name.";
        owner: Id, plain, "Who looks after it.";
        pipeline: Id, plain, "Pipeline at the source.";
        probability: Decimal, plain, "Chance of winning, percent.";
        source: Text, plain, "Where the deal came from.";
        source_stage: Id, plain, "The stage as the source names it, where its pipeline is its own.";
        stage: Enum(DEAL_STAGE), plain, "How far it is.";
        r#type: Text, plain, "Kind of deal (new, renewal, …).";
    }
    Ticket {
        assignee: Id, plain, "Who works on it.";
        channel: Text, plain, "How it came in.";
        company: Ref(ObjectType::Company), plain, "The requester's company.";
        contact: Ref(ObjectType::Contact), plain, "The requester.";
        created_at: Instant, plain, "When it was opened.";
        description: Text, personal, "What the requester wrote.";
        group: Id, plain, "The team that works on it.";
        pipeline: Id, plain, "Pipeline at the source.";
        priority: Enum(PRIORITY), plain, "Priority.";
        source_status: Id, plain, "The status as the source names it, where its pipeline is its own.";
        status: Enum(TICKET_STATUS), plain, "How far it is.";
        subject: Text, personal, "Subject.";
        tags: Set(ValueKind::Name), plain, "Labels.";
        r#type: Text, plain, "Kind of ticket.";
    }
    Invoice {
        amount_due: Money, plain, "What is to be paid.";
        amount_paid: Money, plain, "What was paid.";
        amount_remaining: Money, plain, "What is still to be paid.";
        company: Ref(ObjectType::Company), plain, "The billed company.";
        contact: Ref(ObjectType::Contact), plain, "The billed person.";
        created_at: Instant, plain, "When it was made.";
        description: Text, plain, "Free description.";
        due_date: Date, plain, "The day by which it must be paid.";
        due_at: Instant, plain, "The moment by which it must be paid, where the source gives one.";
        email: Email, personal, "The billed person's e-mail address, as printed on it.";
        full_name: Name, personal, "The billed person's or company's name, as printed on it.";
        issued_on: Date, plain, "The invoice date.";
        kind: Enum(&["invoice", "credit_note"]), plain, "Invoice or credit note.";
        number: Id, plain, "The number printed on it.";
        order: Ref(ObjectType::Order), plain, "The order it bills.";
        paid_at: Instant, plain, "When it was paid in full.";
        period_end: Instant, plain, "End of the period that it bills.";
        period_start: Instant, plain, "Start of the period that it bills.";
        reason: Text, plain, "Why it was made (billing reason).";
        status: Enum(INVOICE_STATUS), plain, "How far it is.";
        subscription: Ref(ObjectType::Subscription), plain, "The subscription it bills.";
        subtotal: Money, plain, "Sum before tax and discounts.";
        tax: Money, plain, "Tax.";
        total: Money, plain, "Sum with tax and discounts.";
        url: Url, plain, "Where the customer can see it.";
    }
    Payment {
        amount: Money, plain, "Amount.";
        amount_captured: Money, plain, "What was captured.";
        amount_refunded: Money, plain, "What was given back.";
        contact: Ref(ObjectType::Contact), plain, "Who paid.";
        created_at: Instant, plain, "When it was made.";
        description: Text, plain, "Free description.";
        email: Email, personal, "The payer's e-mail address, as given with the payment.";
        failure_code: Id, plain, "Why it failed.";
        full_name: Name, personal, "The payer's name, as given with the payment.";
        invoice: Ref(ObjectType::Invoice), plain, "The invoice it pays.";
        kind: Enum(PAYMENT_KIND), plain, "Charge, payment intent, refund or dispute.";
        method: Text, plain, "Means of payment.";
        order: Ref(ObjectType::Order), plain, "The order it pays.";
        parent: Ref(ObjectType::Payment), plain, "The payment that a refund or dispute is about.";
        phone: Phone, personal, "The payer's number, as given with the payment.";
        reason: Text, plain, "Why it was refunded or disputed.";
        respond_by: Instant, plain, "Until when a dispute can be answered.";
        status: Enum(PAYMENT_STATUS), plain, "How far it is.";
        url: Url, plain, "Where its receipt is shown.";
    }
    Subscription {
        cancel_at: Instant, plain, "When it will be canceled, where that is settled.";
        cancel_at_period_end: Bool, plain, "True when it ends with the current period.";
        canceled_at: Instant, plain, "When it was canceled.";
        contact: Ref(ObjectType::Contact), plain, "Who subscribed.";
        created_at: Instant, plain, "When it was made.";
        current_period_end: Instant, plain, "End of the paid period.";
        current_period_start: Instant, plain, "Start of the paid period.";
        ended_at: Instant, plain, "When it ended.";
        interval: Enum(INTERVAL), plain, "Billing interval.";
        interval_count: Int, plain, "How many intervals one billing period has.";
        items: Set(ValueKind::Verbatim), plain, "Everything that is subscribed to, as `price=quantity`.";
        plan: Id, plain, "Price or plan at the source.";
        product: Ref(ObjectType::Product), plain, "What is subscribed to.";
        quantity: Int, plain, "How many.";
        reason: Text, plain, "Why it was canceled.";
        started_at: Instant, plain, "When it began.";
        status: Enum(SUBSCRIPTION_STATUS), plain, "How far it is.";
        trial_end: Instant, plain, "End of the trial.";
        unit_amount: Money, plain, "Price of one for one interval.";
    }
    Product {
        active: Bool, plain, "True when it can be bought.";
        created_at: Instant, plain, "When the source created the record.";
        deal: Ref(ObjectType::Deal), plain, "The deal that a line belongs to.";
        default_price: Id, plain, "The default price's id.";
        description: Text, plain, "Free description.";
        interval: Enum(INTERVAL), plain, "Billing interval of a recurring price.";
        interval_count: Int, plain, "How many intervals one billing period has.";
        name: Name, plain, "Name.";
        price: Money, plain, "Price.";
        product: Ref(ObjectType::Product), plain, "The product that a price or line belongs to.";
        quantity: Decimal, plain, "Quantity of a line.";
        sku: Id, plain, "Stock-keeping unit.";
        r#type: Text, plain, "Kind of product.";
        url: Url, plain, "Where it is shown.";
    }
    Order {
        contact: Ref(ObjectType::Contact), plain, "Who ordered.";
        created_at: Instant, plain, "When it was made.";
        discount: Money, plain, "What was taken off.";
        email: Email, personal, "The buyer's e-mail address, as given with the order.";
        full_name: Name, personal, "The buyer's name, as given with the order.";
        invoice: Ref(ObjectType::Invoice), plain, "The invoice that bills it.";
        number: Id, plain, "The number shown to the buyer.";
        payment: Ref(ObjectType::Payment), plain, "The payment that paid it.";
        payment_status: Text, plain, "The source's payment status.";
        phone: Phone, personal, "The buyer's number, as given with the order.";
        reference: Id, plain, "The caller's own reference.";
        shipping: Money, plain, "What shipping costs.";
        status: Enum(ORDER_STATUS), plain, "How far it is.";
        subscription: Ref(ObjectType::Subscription), plain, "The subscription that it started.";
        subtotal: Money, plain, "Sum before tax and discounts.";
        tax: Money, plain, "Tax.";
        total: Money, plain, "Sum.";
        utm: Set(ValueKind::Verbatim), plain, "Attribution parameters kept with the order.";
    }
    Call {
        answered_by: Text, plain, "Human or machine, where detected.";
        code: Id, plain, "Final SIP or provider status code.";
        company: Ref(ObjectType::Company), plain, "The company called.";
        contact: Ref(ObjectType::Contact), plain, "The person called or calling.";
        created_at: Instant, plain, "When the source created the record.";
        direction: Enum(DIRECTION), plain, "Inbound or outbound.";
        duration_s: Int, plain, "Length in seconds.";
        ended_at: Instant, plain, "When it ended.";
        from: Phone, personal, "Calling number.";
        from_address: Text, personal, "The caller, where it is not a number: a SIP address, a client's name.";
        parent: Ref(ObjectType::Call), plain, "The call that this leg or recording belongs to.";
        recording_channels: Int, plain, "Channels of the recording.";
        recording_consent: Bool, plain, "True when consent to recording is known.";
        recording_duration_s: Int, plain, "Length of the recording in seconds.";
        recording_error: Id, plain, "Why there is no recording, as the source's code.";
        recording_id: Id, plain, "The recording's id.";
        recording_source: Text, plain, "How the recording was started.";
        recording_started_at: Instant, plain, "When the recording began.";
        recording_status: Text, plain, "The recording's status.";
        recording_track: Text, plain, "Which side is recorded.";
        recording_url: Url, personal, "Where the recording is.";
        started_at: Instant, plain, "When it began.";
        status: Enum(CALL_STATUS), plain, "How it went.";
        to: Phone, personal, "Called number.";
        to_address: Text, personal, "Who is called, where it is not a number: a SIP address, a client's name.";
    }
    Meeting {
        all_day: Bool, plain, "True when it has days instead of times.";
        attendees: Set(ValueKind::Email), personal, "E-mail addresses of those invited.";
        contact: Ref(ObjectType::Contact), plain, "The person met.";
        created_at: Instant, plain, "When the source created the record.";
        description: Text, personal, "Agenda.";
        end_date: Date, plain, "Last day of an all-day entry.";
        ends_at: Instant, plain, "End.";
        location: Text, personal, "Place.";
        organizer: Email, personal, "Who invited.";
        start_date: Date, plain, "First day of an all-day entry.";
        starts_at: Instant, plain, "Start.";
        status: Enum(MEETING_STATUS), plain, "How firm it is.";
        timezone: Text, plain, "The time zone in which it was entered.";
        title: Text, personal, "Title.";
        url: Url, plain, "Where it is shown.";
    }
    EmailEvent {
        attempt: Int, plain, "Which attempt at delivery it was, or how many there were.";
        bounce: Enum(BOUNCE), plain, "Kind of bounce.";
        bounce_class: Id, plain, "The provider's own class of a bounce, drop or rejection.";
        by_machine: Bool, plain, "True when a machine opened or clicked before the person did, or in her place.";
        campaign: Id, plain, "Campaign or category.";
        code: Id, plain, "SMTP or provider status code.";
        contact: Ref(ObjectType::Contact), plain, "The person written to.";
        email: Email, personal, "Recipient.";
        event: Enum(EMAIL_EVENT), plain, "What happened.";
        from: Text, personal, "From header.";
        in_reply_to: Verbatim, plain, "In-Reply-To header.";
        link: Verbatim, plain, "The link that was clicked.";
        list: Id, plain, "The list or audience.";
        message_id: Verbatim, plain, "Message-ID header.";
        occurred_at: Instant, plain, "When it happened.";
        provider_id: Id, plain, "The provider's id of the message.";
        reason: Text, personal, "What the receiving side said.";
        references: Verbatim, plain, "References header.";
        reply_to: Text, personal, "Reply-To header.";
        subject: Text, personal, "Subject.";
        tags: Set(ValueKind::Name), plain, "Labels.";
        text: Text, personal, "The message as plain text.";
        thread: Id, plain, "The thread that the message belongs to.";
        to: Text, personal, "To header.";
    }
    Touchpoint {
        ad_group_id: Id, plain, "The advertising system's ad group or asset group.";
        ad_id: Id, plain, "The advertising system's id of the advertisement.";
        campaign_id: Id, plain, "The advertising system's campaign id.";
        contact: Ref(ObjectType::Contact), plain, "The person.";
        fbclid: Verbatim, plain, "Meta click id.";
        form: Id, plain, "The form that was filled in.";
        gclid: Verbatim, plain, "Google click id.";
        kind: Text, plain, "What kind of contact it was.";
        msclkid: Verbatim, plain, "Microsoft click id.";
        occurred_at: Instant, plain, "When it happened.";
        page_url: Verbatim, plain, "The page, as it was sent.";
        referrer: Verbatim, plain, "The referring page, as it was sent.";
        utm_campaign: Verbatim, plain, "utm_campaign.";
        utm_content: Verbatim, plain, "utm_content.";
        utm_medium: Verbatim, plain, "utm_medium.";
        utm_source: Verbatim, plain, "utm_source.";
        utm_term: Verbatim, plain, "utm_term.";
    }
    Consent {
        campaign: Id, plain, "The campaign that led to it.";
        channel: Enum(CHANNEL), plain, "By which channel.";
        contact: Ref(ObjectType::Contact), plain, "The person.";
        email: Email, personal, "The e-mail address it is about.";
        explicit: Bool, plain, "True when the person herself acted.";
        legal_basis: Text, plain, "Legal basis.";
        list: Id, plain, "The list or topic it is about.";
        occurred_at: Instant, plain, "When it was given or withdrawn.";
        phone: Phone, personal, "The number it is about.";
        purpose: Text, plain, "For what.";
        reason: Text, plain, "Why it changed.";
        status: Enum(CONSENT_STATUS), plain, "Granted, pending, suppressed or withdrawn, from the loosest to the strictest; unknown where nobody has said anything.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_fields_and_no_name_twice() {
        for object in ObjectType::ALL {
            let mut names: Vec<_> = fields_of(*object).map(|f| f.name).collect();
            assert!(!names.is_empty(), "{object} has no fields");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(count, names.len(), "{object} names a field twice");
        }
    }

    #[test]
    fn null_fits_every_kind_and_shapes_are_checked() {
        assert!(FieldKind::Money.accepts(&Value::Null).is_ok());
        assert!(FieldKind::Money.accepts(&Value::Int(3)).is_err());
        assert!(FieldKind::Email.accepts(&Value::text("a@b.example")).is_ok());
        assert!(FieldKind::Set(ValueKind::Name).accepts(&Value::text("a")).is_err());
    }
}
