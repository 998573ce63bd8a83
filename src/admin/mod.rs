//! The admin address: health, metrics, effective configuration.
