//! `keyproof schema`: see [`crate::config::schema`].

pub(super) const EXAMPLES: &str = "\
Examples:
  keyproof schema > config/keyproof.schema.json";
