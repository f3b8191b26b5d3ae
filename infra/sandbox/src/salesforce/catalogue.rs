//! The fields that an org has from the start, as far as a hub writes them, and the hub's own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::schema::{Kind, Normalise, ObjectSchema, Property};

/// An id of 18 characters: the type's prefix, the number in base 62, and the suffix that keeps the case of the first fifteen.
pub(super) fn new_id(object: &str, n: u64) -> String {
    let prefix = match object {
        "Account" => "001",
        "Contact" => "003",
        "Lead" => "00Q",
        "Opportunity" => "006",
        "Case" => "500",
        "Product2" => "01t",
        "Task" => "00T",
        _ => "a00",
    };
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = n;
    let mut tail = [b'0'; 9];
    for slot in tail.iter_mut().rev() {
        *slot = DIGITS[usize::try_from(number % 62).unwrap_or_default()];
        number /= 62;
    }
    let mut id = format!("{prefix}ak0{}", String::from_utf8_lossy(&tail));
    const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let suffix: Vec<u8> = id
        .as_bytes()
        .chunks(5)
        .map(|chunk| {
            chunk.iter().enumerate().filter(|(_, c)| c.is_ascii_uppercase()).map(|(bit, _)| 1_usize << bit).sum::<usize>()
        })
        .map(|bits| SUFFIX[bits])
        .collect();
    id.push_str(&String::from_utf8_lossy(&suffix));
    id
}

/// A field as a description tells it.
pub(super) fn described(name: &str, property: &Property) -> Value {
    let (kind, options) = match &property.kind {
        Kind::Number => ("double", Vec::new()),
        Kind::Bool => ("boolean", Vec::new()),
        Kind::Date => ("date", Vec::new()),
        Kind::Datetime => ("datetime", Vec::new()),
        Kind::Email => ("email", Vec::new()),
        Kind::Enum(options) => ("picklist", options.clone()),
        Kind::Reference { .. } => ("reference", Vec::new()),
        Kind::Text => ("string", Vec::new()),
    };
    let options: Vec<Value> = options.iter().map(|value| json!({"active": true, "label": value, "value": value})).collect();
    json!({"name": name, "type": kind, "createable": !property.read_only, "updateable": !property.read_only, "unique": property.unique,
        "externalId": property.unique, "restrictedPicklist": !options.is_empty(), "picklistValues": options})
}

/// The object types.
pub(super) fn objects(hub_id: &str) -> BTreeMap<String, ObjectSchema> {
    let all = [
        ("Account", account(), &["Name"][..]),
        ("Contact", contact(), &["Email", "Name", "LastName"]),
        ("Lead", lead(), &["Email", "LastName"]),
        ("Opportunity", opportunity(), &["Name"]),
        ("Case", case(), &["Subject"]),
        ("Product2", product(), &["ProductCode", "Name"]),
        ("Task", task(), &["Subject"]),
    ];
    let finish = |(name, mut properties, label): (&str, BTreeMap<String, Property>, &[&str])| {
        properties.insert(hub_id.to_owned(), Property { unique: true, ..text(64) });
        for (system, kind) in [("Id", Kind::Text), ("IsDeleted", Kind::Bool)] {
            properties.insert(system.to_owned(), Property { read_only: true, ..Property::of(kind) });
        }
        for system in ["SystemModstamp", "LastModifiedDate", "CreatedDate"] {
            properties.insert(system.to_owned(), Property { read_only: true, ..Property::of(Kind::Datetime) });
        }
        // Every object has it in an org with several currencies.
        properties.entry("CurrencyIsoCode".to_owned()).or_insert_with(|| text(3));
        if matches!(name, "Account" | "Contact" | "Lead") {
            properties.insert("MasterRecordId".to_owned(), Property { read_only: true, ..text(18) });
        }
        (name.to_owned(), ObjectSchema { properties, label: label.iter().map(|l| (*l).to_owned()).collect() })
    };
    all.into_iter().map(finish).collect()
}

fn text(max: usize) -> Property {
    Property { max: Some(max), normalise: vec![Normalise::Trim], ..Property::of(Kind::Text) }
}

/// Names with their greatest lengths: `FirstName:40 LastName:80!`; a `!` marks what is required.
fn texts(list: &str) -> BTreeMap<String, Property> {
    let parse = |entry: &str| {
        let (name, length) = entry.split_once(':').unwrap_or((entry, "255"));
        let max = length.trim_end_matches('!').parse().unwrap_or(255);
        (name.to_owned(), Property { required: length.ends_with('!'), ..text(max) })
    };
    list.split_whitespace().map(parse).collect()
}

fn add(properties: &mut BTreeMap<String, Property>, kind: &Kind, names: &str) {
    let property = Property { normalise: vec![Normalise::Trim], ..Property::of(kind.clone()) };
    properties.extend(names.split_whitespace().map(|name| (name.to_owned(), property.clone())));
}

fn refer(properties: &mut BTreeMap<String, Property>, object: &str, relationship: &str) {
    let kind = Kind::Reference { object: object.to_owned(), relationship: relationship.to_owned() };
    properties.insert(format!("{relationship}Id"), Property::of(kind));
}

/// The parts of an address.
fn address(prefix: &str) -> String {
    format!("{prefix}Street:255 {prefix}City:40 {prefix}State:80 {prefix}PostalCode:20 {prefix}Country:80 ")
}

const ATTRIBUTION: &str =
    " UTM_Source__c UTM_Medium__c UTM_Campaign__c UTM_Term__c UTM_Content__c GCLID__c FBCLID__c Stripe_Customer_Id__c:64";

fn account() -> BTreeMap<String, Property> {
    let list = "Name:255! Phone:40 Website:255 Industry:40 Type:40 Description:32000 AccountNumber:40 Domain__c OwnerId:18 VAT_Number__c:64 ";
    let mut p = texts(&(list.to_owned() + &address("Billing") + &address("Shipping") + ATTRIBUTION));
    add(&mut p, &Kind::Number, "AnnualRevenue NumberOfEmployees");
    refer(&mut p, "Account", "Parent");
    p
}

fn contact() -> BTreeMap<String, Property> {
    let list = "FirstName:40 LastName:80! Salutation:40 Phone:40 MobilePhone:40 HomePhone:40 Fax:40 Title:128 Department:80 \
                Description:32000 LeadSource:255 OwnerId:18 Lifecycle_Stage__c Language__c Timezone__c ";
    let mut p = texts(&(list.to_owned() + &address("Mailing") + &address("Other") + ATTRIBUTION));
    add(&mut p, &Kind::Email, "Email");
    add(&mut p, &Kind::Bool, "HasOptedOutOfEmail DoNotCall HasOptedOutOfFax");
    add(&mut p, &Kind::Date, "Birthdate");
    refer(&mut p, "Account", "Account");
    p.insert("Name".to_owned(), Property { read_only: true, ..text(121) });
    p
}

fn lead() -> BTreeMap<String, Property> {
    let list = "FirstName:40 LastName:80! Company:255! Salutation:40 Phone:40 MobilePhone:40 Title:128 Website:255 Industry:40 Rating:40 \
                Status:255 LeadSource:255 Description:32000 Street:255 City:40 State:80 PostalCode:20 Country:80 OwnerId:18 ";
    let mut p = texts(&(list.to_owned() + ATTRIBUTION));
    add(&mut p, &Kind::Email, "Email");
    add(&mut p, &Kind::Bool, "HasOptedOutOfEmail DoNotCall");
    add(&mut p, &Kind::Number, "AnnualRevenue NumberOfEmployees");
    p.insert("Name".to_owned(), Property { read_only: true, ..text(121) });
    p
}

fn opportunity() -> BTreeMap<String, Property> {
    let list = "Name:120! StageName:255! Type:255 LeadSource:255 NextStep:255 Description:32000 CurrencyIsoCode:3 OwnerId:18 \
                Pipeline__c Stripe_Subscription_Id__c:64 Stripe_Invoice_Id__c:64";
    let mut p = texts(list);
    add(&mut p, &Kind::Number, "Amount Probability MRR__c Paid_Amount__c");
    add(&mut p, &Kind::Date, "CloseDate");
    if let Some(close) = p.get_mut("CloseDate") {
        close.required = true;
    }
    refer(&mut p, "Account", "Account");
    refer(&mut p, "Contact", "Contact");
    p
}

fn case() -> BTreeMap<String, Property> {
    let mut p = texts(
        "Subject:255 Description:32000 Status:255 Priority:255 Origin:255 Reason:255 Type:255 SuppliedName:80 SuppliedPhone:40 OwnerId:18",
    );
    add(&mut p, &Kind::Email, "SuppliedEmail");
    refer(&mut p, "Account", "Account");
    refer(&mut p, "Contact", "Contact");
    p
}

fn product() -> BTreeMap<String, Property> {
    let mut p = texts("Name:255! ProductCode:255 Description:4000 Family:255 StockKeepingUnit:180");
    add(&mut p, &Kind::Bool, "IsActive");
    p
}

fn task() -> BTreeMap<String, Property> {
    let mut p = texts("Subject:255 Description:32000 Status:255 Priority:255 Type:40 OwnerId:18");
    add(&mut p, &Kind::Date, "ActivityDate");
    add(&mut p, &Kind::Number, "CallDurationInSeconds");
    refer(&mut p, "Contact", "Who");
    refer(&mut p, "Account", "What");
    p
}
