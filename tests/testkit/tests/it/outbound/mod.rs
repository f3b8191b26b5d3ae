//! What `upsert` and `reconcile` do with the answers that destinations really give, on ports in memory and the stand-ins.

mod absences;
mod associations;
mod fields;
mod history;
pub mod hub;
mod limits;
mod references;
mod sweeps;
mod texts;
mod twins;
