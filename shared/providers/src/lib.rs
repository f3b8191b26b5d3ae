//! providers
pub mod http;
