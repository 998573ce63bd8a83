//! What the YAML says, as it says it.

/// The configuration file.
#[derive(Debug)]
pub struct Document(());

/// The JSON Schema of the file, as text.
pub fn schema() -> String {
    todo!()
}
