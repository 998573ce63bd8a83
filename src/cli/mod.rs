//! The command line.
mod demo;
mod request;
