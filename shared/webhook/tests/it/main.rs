//! The crate seen from outside: known answers, handshakes, signing, hostile input.
mod conversation;
mod forms;
mod hostile;
mod known;
mod lenient;
mod support;
