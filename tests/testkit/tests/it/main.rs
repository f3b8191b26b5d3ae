//! Tests of the hub on ports in memory: bad input, canaries in logs, kills, parking, pauses, reads, records, and the simulator.

mod bad_input;
mod canary;
mod credentials;
mod fixtures;
mod import_story;
mod kills;
mod log;
mod outbound;
mod parking;
mod pauses;
mod rates;
mod reads;
mod records;
mod scans;
mod sim;
mod table;
mod unasked;
