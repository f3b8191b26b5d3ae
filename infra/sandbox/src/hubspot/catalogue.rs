//! The properties that a HubSpot account has from the start, as far as a hub writes them, and the hub's own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::schema::{Kind, Normalise, ObjectSchema, Property};

pub(super) fn modified_property(object: &str) -> &'static str {
    if object == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

/// The scopes that a hub asks for.
pub(super) fn scopes() -> Vec<String> {
    let objects = ["contacts", "companies", "deals"];
    let each = objects.iter().flat_map(|object| ["read", "write"].map(|act| format!("crm.objects.{object}.{act}")));
    each.chain(["tickets".to_owned()]).collect()
}

/// A property as the properties API tells it.
pub(super) fn described(name: &str, property: &Property) -> Value {
    let (kind, options) = match &property.kind {
        Kind::Number => ("number", Vec::new()),
        Kind::Bool => ("bool", vec!["true".to_owned(), "false".to_owned()]),
        Kind::Date => ("date", Vec::new()),
        Kind::Datetime => ("datetime", Vec::new()),
        Kind::Enum(options) => ("enumeration", options.clone()),
        Kind::Text | Kind::Email | Kind::Reference { .. } => ("string", Vec::new()),
    };
    let options: Vec<Value> = options.iter().map(|value| json!({"label": value, "value": value, "hidden": false})).collect();
    json!({"name": name, "label": name, "type": kind, "options": options, "hasUniqueValue": property.unique, "calculated": false,
        "modificationMetadata": {"archivable": true, "readOnlyDefinition": false, "readOnlyValue": property.read_only}})
}

/// What a reader gets who names no property.
pub(super) fn default_properties(object: &str) -> &'static [&'static str] {
    match object {
        "contacts" => &["email", "firstname", "lastname"],
        "companies" => &["name", "domain"],
        "deals" => &["dealname", "dealstage", "pipeline", "amount", "closedate"],
        _ => &["subject", "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority"],
    }
}

/// The four object types.
pub(super) fn objects(hub_id: &str) -> BTreeMap<String, ObjectSchema> {
    [("contacts", contacts()), ("companies", companies()), ("deals", deals()), ("tickets", tickets())]
        .into_iter()
        .map(|(name, (mut properties, label))| {
            properties.insert(hub_id.to_owned(), Property { unique: true, ..text() });
            for system in ["hs_object_id", "createdate", modified_property(name)] {
                properties.insert(system.to_owned(), Property { read_only: true, ..text() });
            }
            (name.to_owned(), ObjectSchema { properties, label: label.iter().map(|l| (*l).to_owned()).collect() })
        })
        .collect()
}

type Draft = (BTreeMap<String, Property>, &'static [&'static str]);

fn text() -> Property {
    Property { max: Some(65_536), normalise: vec![Normalise::Trim], ..Property::of(Kind::Text) }
}

fn texts(names: &str) -> BTreeMap<String, Property> {
    names.split_whitespace().map(|name| (name.to_owned(), text())).collect()
}

fn add(properties: &mut BTreeMap<String, Property>, kind: &Kind, names: &str) {
    properties.extend(names.split_whitespace().map(|name| (name.to_owned(), Property::of(kind.clone()))));
}

fn options(names: &str) -> Kind {
    Kind::Enum(names.split_whitespace().map(str::to_owned).collect())
}

const LIFECYCLE: &str = "subscriber lead marketingqualifiedlead salesqualifiedlead opportunity customer evangelist other";

fn contacts() -> Draft {
    let mut p = texts(
        "firstname lastname phone mobilephone fax company jobtitle salutation website address city state zip country hs_language \
         hs_country_region_code hs_state_code twitterhandle linkedinbio hubspot_owner_id message utm_source utm_medium utm_campaign \
         utm_term utm_content gclid fbclid hs_google_click_id hs_facebook_click_id hs_linkedin_ad_clicked stripe_customer_id \
         hs_timezone industry annualrevenue numemployees",
    );
    let email = Property { unique: true, normalise: vec![Normalise::Trim, Normalise::Lower], ..Property::of(Kind::Email) };
    p.insert("email".to_owned(), email);
    add(&mut p, &options(LIFECYCLE), "lifecyclestage");
    add(
        &mut p,
        &options("NEW OPEN IN_PROGRESS OPEN_DEAL UNQUALIFIED ATTEMPTED_TO_CONTACT CONNECTED BAD_TIMING"),
        "hs_lead_status",
    );
    add(&mut p, &Kind::Bool, "hs_email_optout hs_marketable_status");
    add(&mut p, &Kind::Date, "date_of_birth closedate first_conversion_date");
    add(&mut p, &Kind::Number, "total_revenue hubspotscore");
    p.insert("associatedcompanyid".to_owned(), Property { read_only: true, ..text() });
    (p, &["email", "phone", "lastname"])
}

fn companies() -> Draft {
    let mut p = texts(
        "name phone address address2 city state zip country website description hubspot_owner_id linkedin_company_page \
         twitterhandle facebook_company_page timezone hs_additional_domains hs_country_code stripe_customer_id vat_id industry",
    );
    let domain = Property { normalise: vec![Normalise::Trim, Normalise::Lower], ..text() };
    p.insert("domain".to_owned(), domain);
    add(&mut p, &options(LIFECYCLE), "lifecyclestage");
    add(&mut p, &options("PROSPECT PARTNER RESELLER VENDOR OTHER"), "type");
    add(&mut p, &Kind::Number, "annualrevenue numberofemployees total_revenue founded_year");
    (p, &["domain", "name"])
}

fn deals() -> Draft {
    let mut p = texts(
        "dealname pipeline dealstage description hubspot_owner_id deal_currency_code closed_lost_reason closed_won_reason hs_next_step",
    );
    add(&mut p, &options("newbusiness existingbusiness"), "dealtype");
    add(&mut p, &options("low medium high"), "hs_priority");
    add(&mut p, &Kind::Number, "amount hs_mrr hs_arr hs_acv hs_tcv hs_deal_stage_probability");
    add(&mut p, &Kind::Datetime, "closedate");
    (p, &["dealname"])
}

fn tickets() -> Draft {
    let mut p = texts("subject content hs_pipeline hs_resolution hubspot_owner_id hs_ticket_category source_ref");
    p.insert("hs_pipeline_stage".to_owned(), Property { required: true, ..text() });
    add(&mut p, &options("LOW MEDIUM HIGH URGENT"), "hs_ticket_priority");
    add(&mut p, &options("CHAT EMAIL FORM PHONE"), "source_type");
    add(&mut p, &Kind::Datetime, "closed_date");
    (p, &["subject"])
}
