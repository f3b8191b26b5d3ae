//! Providers at their boundary: bodies in, canonical changes out.

mod bodies;
mod folders;
mod fuzz;
mod golden;
mod hostile;
mod parts;
mod render;
