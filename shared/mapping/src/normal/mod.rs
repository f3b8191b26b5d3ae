//! Normalisers: one text in, its canonical form out. Each is idempotent: normalising twice is normalising once.

mod countries;
mod country;
mod currencies;
mod email;
mod host;
mod money;
mod number;
mod phone;
mod text;
mod time;
mod visible;

use thiserror::Error;

pub use country::{country, country_in};
pub use email::email;
pub use host::{domain, url};
pub use money::{currency, exponent, major, minor};
pub use number::{decimal, percent};
pub use phone::{Phone, phone, region_of_code};
pub use text::{industry, name, tidy};
pub use time::{ACCOUNT_ZONE, Zone, date, day_before, day_of, instant, instant_ms, instant_of_day, means_none, zone};
pub use visible::{is_blank, visible};

/// Why a value has no canonical form. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);
