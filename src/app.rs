//! Wiring: the only file that knows every room.
