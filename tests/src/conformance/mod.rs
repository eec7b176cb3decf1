//! The conformance suite: scenarios that are data, played with a driver in each language on each broker.
//!
//! `tests/PROTOCOL.md` says what a driver is. Nothing here trusts one: what it reports is compared with what the
//! broker has, read with a client that shares no code with ksem's.

mod cell;
mod driver;
mod judge;
mod scenario;
mod stage;
mod step;
mod suite;
mod table;
mod value;

pub use cell::{Cannot, play};
pub use scenario::{BrokerKind, Scenario, folder, load};
pub use stage::Stage;
pub use suite::{Suite, run};
pub use table::{Table, Verdict};
