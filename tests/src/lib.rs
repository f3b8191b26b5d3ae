//! Integration tests of crm-hub; see `it/main.rs`.
