//! The page: a request from its head to its answer, top to bottom.

mod body;
mod forward;
mod hop;
pub mod respond;
mod upstream;

pub use body::{Pace, RequestBody, RequestBodyError, ResponseBody, Rider};
pub use hop::{Origination, set_forwarded, strip_request, strip_response};
pub use upstream::{Upstream, UpstreamBody, UpstreamError};
