//! Requests and bodies that no provider sends, at the front door and behind it. For every provider's folder, by its own fixtures,
//! through the real front door and `transform` on the ports in memory. A new folder is covered without a line here.

mod behind;
pub mod bodies;
mod door;
