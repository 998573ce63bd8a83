//! What the product calls `replay`, as far as it is its memory.

#![expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the product's files have more than is tried here, their unit tests among it, and it is public there"
)]

pub(crate) mod laws;
#[path = "../../../src/replay/memory/mod.rs"]
mod memory;
#[path = "../../../src/replay/since.rs"]
mod since;
#[path = "../../../src/replay/subjects.rs"]
mod subjects;
pub(crate) mod sync;

pub use keyproof::replay::{Outcome, ReplayKey};
use since::Since;
