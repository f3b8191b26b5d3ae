//! Providers at their boundary: bodies in, canonical changes out.

mod bodies;
mod folders;
mod golden;
mod hostile;
mod parts;
mod render;
