//! What no provider sends, at the door and behind it: for every folder of providers, by its own fixtures, through the real
//! front door and `transform` over the ports in memory. A new folder is covered without a line here.

mod behind;
mod bodies;
mod door;
mod hub;
mod sender;
mod table;
