//! Which route a request takes: host, path and method, nothing else.

mod table;

pub use table::{Choice, Conflict, Matcher, Table};
