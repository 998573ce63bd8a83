//! The command line.

mod demo;
mod explain;
mod request;
