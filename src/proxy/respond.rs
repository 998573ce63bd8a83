//! Answers that the gateway makes itself.
