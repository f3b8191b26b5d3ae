//! providers
pub mod api;
pub mod http;
