//! Stopping without dropping anybody.
