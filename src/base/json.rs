//! JSON: read strictly, and messages in it read in little code.

mod reader;
mod strict;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use reader::JsonError;
pub use strict::parse_json;

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
    T::deserialize(reader::Reader(value))
}

/// Writes a value. Its own `Display` would bring a second writer along, with indentation.
#[must_use]
pub fn write_value(value: &Value) -> String {
    // Into memory, and with text for keys: nothing of it can fail.
    serde_json::to_string(value).unwrap_or_default()
}
