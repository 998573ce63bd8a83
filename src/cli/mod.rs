//! The command line.

mod demo;
pub mod explain;
mod request;
