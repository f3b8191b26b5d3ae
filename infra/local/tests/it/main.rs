//! The host from outside: a template, a function that speaks the Runtime API by hand, and HTTP.

mod host;
mod http;
mod services;
mod support;
