//! What listeners, upstreams and the gate share about threads and sockets.

mod gathered;
mod turns;
pub mod workers;

pub use gathered::{Gathered, poll_write_gathered};
pub use turns::ready_to_verify;
