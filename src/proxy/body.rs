//! Bodies, streamed both ways.
