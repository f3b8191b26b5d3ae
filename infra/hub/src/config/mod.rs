//! The configuration compiler: `hub.toml` in, diagnostics or a pack out.

mod bounds;
mod compile;
mod connection;
mod context;
mod effects;
mod file;
pub mod keys;
mod loaded;
mod own_fields;
mod policy;
mod provider;
mod provider_checks;
mod render;
mod secrets;

#[cfg(test)]
mod tests;

pub use compile::{Compiled, Positions, compile};
pub use connection::ConnectionOverride;
pub use loaded::{Changes, ConfigError, DEFAULT, DEFAULT_PATH, Loaded, pack};
pub use mapping::file::{Diagnostic, Severity, Source, suggestion};
pub use provider_checks::{samples, written};
pub use render::render;
pub use secrets::resource_word;
