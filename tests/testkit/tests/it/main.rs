//! Tests of the hub on ports in memory: bad input, logs, costs, credentials, kills, load, parking, pauses, reads, records, the simulator.

mod bad_input;
mod canary;
mod cost;
mod credentials;
mod fixtures;
mod import_story;
mod kills;
mod load;
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
