//! Providers as folders of data: a manifest, mapping files and fixtures. This crate turns a folder into a [`Provider`], which reads
//! webhooks and records as canonical changes and renders canonical values for a destination.
//!
//! The folders stand beside `src/`. The build script finds each folder that has a `manifest.toml`, embeds its files, and includes its
//! code: `api.rs` of a destination and `hook.rs` of an odd protocol enter through `folder_code.rs`. So no `mod` line in `src/` leads to that
//! code, no provider is listed anywhere, and deleting a folder removes the provider.
//!
//! The way of a webhook: `read.rs` takes the raw body through `body/` to single events, reads the values that `[events]` names
//! (`paths.rs`, `view.rs`), finds the rule of each event (`rules.rs`), and runs the mapping file that the rule names (`provider.rs`).
//!
//! Nothing here does I/O, reads a clock, or names a single provider outside its folder.
#![forbid(unsafe_code)]

pub mod api;
mod body;
mod elements;
pub mod fetch;
mod folder_code;
#[cfg(feature = "compile")]
mod folders;
mod hook;
pub mod http;
#[cfg(feature = "compile")]
pub mod keys;
mod manifest;
mod model;
mod names;
mod paths;
mod provider;
mod read;
mod refusal;
#[cfg(feature = "compile")]
mod registry;
mod rules;
pub mod subscriptions;
mod unmapped;
mod view;

pub use folder_code::api_of;
pub use manifest::{
    About, AcceptedAnswer, ApiInfo, Association, Auth, AuthForm, AuthVariables, CallMethod, CallTemplate, ClientAuth,
    Destination, EmbeddedFormat, EventAction, EventRule, EventStamp, Events, Grant, GrantEnd, Keywords, Manifest, Media,
    ObjectScopes, OneOrMore, Probe, Rate, Records, SecretSource, SequencePaths, SubscriptionList, SweepWindow, UntypedBody,
    WebhooksApi, XmlBodies,
};
pub use mapping::Rendered;
pub use model::{EventBody, Inbound, InboundEvent, Malformed, Sequence, WriteHint};
pub use provider::{LoadError, Override, Overrides, Provider};
#[cfg(feature = "compile")]
pub use registry::Registry;
