//! What `keyproof doctor` and the gateway have to say to each other: a mark, and what came with it.
//!
//! Whoever may reach the admin address registers a [mark](Marks::register) and sends it through the front. The first request that brings it is
//! never decided about nor forwarded: what has come of it is kept, for the one who knows the mark, as a [`Sighting`]. To everybody else a
//! marked request is any request.

mod marks;
mod sighting;

pub use marks::{Marked, Marks, NotRegistered, Told};
pub use sighting::{Answered, Arrival, Fault, Field, Line, Place, Sighting, Verdict, Window, told};
