//! What keyproof's tests share.
//!
//! A crate of its own, so that it is compiled once for all test programs. It may use no more of keyproof than anybody may.

pub mod gateway;
pub mod grpc;
pub mod h2;
pub mod log;
pub mod raw;
pub mod reasons;
pub mod tls;
pub mod upstream;
