//! The C interface of ksem. `include/ksem.h` is made from it by `cargo xtask gen`; its first lines say what holds for
//! every function. All logic is in the crate `ksem`.

#![allow(non_camel_case_types, reason = "the names are C's, so that they can be searched for in both languages")]
#![allow(clippy::missing_safety_doc, reason = "the header says once what every pointer has to be; see boundary.rs")]

#[macro_use]
mod macros;
mod boundary;

pub mod attempt;
pub mod batch;
pub mod broker;
pub mod constants;
pub mod error;
pub mod handler;
pub mod log;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod report;
pub mod table;
