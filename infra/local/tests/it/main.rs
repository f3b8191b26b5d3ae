//! The host from outside: a template, a function that uses the Runtime API directly, and HTTP.

mod host;
mod http;
mod services;
mod support;
