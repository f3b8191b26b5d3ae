//! The crate seen from outside: known answers, handshakes, signing, hostile input.
mod conversation;
mod hostile;
mod known;
mod support;
