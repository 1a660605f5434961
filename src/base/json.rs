//! JSON: read by `serde_json`, but that a key given twice is an error.

mod strict;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

pub use strict::parse_json;

/// Why a text in JSON is not the message that it should be.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        // What was found is not shown: it may be a secret.
        match text.rfind(EXPECTED).and_then(|at| text.get(at + 2..)) {
            Some(expected) if self.0.classify() == Category::Data => f.write_str(expected),
            Some(_) | None => f.write_str(&text),
        }
    }
}

/// What stands between what was found and what was expected.
const EXPECTED: &str = ", expected ";

impl std::error::Error for JsonError {}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

/// Reads a message.
///
/// # Errors
/// What [`parse_json`] refuses, and JSON that is no `T`.
pub fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    read_value(&parse_json(text)?)
}

/// Reads a message that is parsed already.
///
/// # Errors
/// When it is no `T`.
pub fn read_value<T: DeserializeOwned>(value: &Value) -> Result<T, JsonError> {
    Ok(T::deserialize(value)?)
}

/// Writes a value.
#[must_use]
pub fn write_value(value: &Value) -> String {
    value.to_string()
}
