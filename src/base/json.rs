//! JSON: read by `serde_json`, but that a key given twice is an error.
//!
//! `serde_json` keeps the last of two equal keys and drops the first without a word (RFC 8259 §4
//! leaves it open). In `{"tags": ["a"], "tags": ["b"]}` that would be an invalidation acknowledged
//! and lost.

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

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

/// Parses a JSON text.
///
/// # Errors
/// Malformed JSON, bytes that are not UTF-8, nesting deeper than 128, and keys given twice.
pub fn parse_json(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(text).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(place) => {
                    let Strict(value) = members.next_value()?;
                    place.insert(value);
                }
                Entry::Occupied(taken) => {
                    let shown: String = taken.key().chars().take(40).collect();
                    let error = format_args!("the key {shown:?} is given twice");
                    return Err(A::Error::custom(error));
                }
            }
        }
        Ok(Value::Object(object))
    }
}
