//! Reading typed columns, and writing parameter lists.
//!
//! A column of another type than asked for is a [`SqlError`]: the schema is ours, so it means a
//! damaged database.

use super::{MAX_PARAMETERS, SqlError, Value};
use crate::base::json::read_json;
use crate::base::time::{Epoch, Timestamp};

/// One row of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(pub &'a [Value]);

impl<'a> Row<'a> {
    fn column(self, at: usize) -> Result<&'a Value, SqlError> {
        self.0.get(at).ok_or_else(|| wrong(at, "there"))
    }

    /// An integer.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn integer(self, at: usize) -> Result<i64, SqlError> {
        match self.column(at)? {
            Value::Integer(number) => Ok(*number),
            Value::Null | Value::Text(_) | Value::Blob(_) => Err(wrong(at, "an integer")),
        }
    }

    /// An integer that is not negative.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn unsigned(self, at: usize) -> Result<u64, SqlError> {
        u64::try_from(self.integer(at)?).map_err(|_| wrong(at, "an unsigned integer"))
    }

    /// A small integer that is not negative.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn small<T: TryFrom<i64>>(self, at: usize) -> Result<T, SqlError> {
        T::try_from(self.integer(at)?).map_err(|_| wrong(at, "a small integer"))
    }

    /// An integer or NULL.
    ///
    /// # Errors
    /// When the column is neither.
    pub fn maybe_integer(self, at: usize) -> Result<Option<i64>, SqlError> {
        match self.column(at)? {
            Value::Null => Ok(None),
            Value::Integer(_) | Value::Text(_) | Value::Blob(_) => self.integer(at).map(Some),
        }
    }

    /// An epoch.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn epoch(self, at: usize) -> Result<Epoch, SqlError> {
        self.unsigned(at).map(Epoch)
    }

    /// A point in time.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn timestamp(self, at: usize) -> Result<Timestamp, SqlError> {
        self.integer(at).map(Timestamp::from_millis)
    }

    /// Whether an integer is not 0.
    ///
    /// # Errors
    /// When the column is not an integer.
    pub fn flag(self, at: usize) -> Result<bool, SqlError> {
        self.integer(at).map(|number| number != 0)
    }

    /// A text.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn text(self, at: usize) -> Result<&'a str, SqlError> {
        match self.column(at)? {
            Value::Text(text) => Ok(text),
            Value::Null | Value::Integer(_) | Value::Blob(_) => Err(wrong(at, "a text")),
        }
    }

    /// A text or NULL.
    ///
    /// # Errors
    /// When the column is neither.
    pub fn maybe_text(self, at: usize) -> Result<Option<&'a str>, SqlError> {
        match self.column(at)? {
            Value::Null => Ok(None),
            Value::Integer(_) | Value::Text(_) | Value::Blob(_) => self.text(at).map(Some),
        }
    }

    /// A 64-bit hash, kept as eight bytes because a Durable Object's integers are JavaScript
    /// numbers.
    ///
    /// # Errors
    /// When the column is not one.
    pub fn hash(self, at: usize) -> Result<u64, SqlError> {
        match self.column(at)? {
            Value::Blob(bytes) => {
                let bytes = bytes.as_slice().try_into().map_err(|_| wrong(at, "eight bytes"))?;
                Ok(u64::from_be_bytes(bytes))
            }
            Value::Null | Value::Integer(_) | Value::Text(_) => Err(wrong(at, "eight bytes")),
        }
    }

    /// A text that holds JSON.
    ///
    /// # Errors
    /// When the column is not a text or not the JSON of a `T`.
    pub fn json<T: serde::de::DeserializeOwned>(self, at: usize) -> Result<T, SqlError> {
        read_json(self.text(at)?.as_bytes()).map_err(|error| {
            SqlError::Damaged(format!("column {at} does not hold the JSON it should: {error}"))
        })
    }
}

fn wrong(at: usize, what: &str) -> SqlError {
    SqlError::Damaged(format!("column {at} is not {what}"))
}

/// An epoch as a parameter.
#[must_use]
pub fn epoch(epoch: Epoch) -> Value {
    number(epoch.0)
}

/// A point in time as a parameter.
#[must_use]
pub const fn timestamp(at: Timestamp) -> Value {
    Value::Integer(at.as_millis())
}

/// An unsigned integer as a parameter.
#[must_use]
pub fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A flag as a parameter.
#[must_use]
pub const fn flag(flag: bool) -> Value {
    Value::Integer(flag as i64)
}

/// A text as a parameter.
#[must_use]
pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A text or NULL as a parameter.
#[must_use]
pub fn maybe_text(maybe: Option<&str>) -> Value {
    maybe.map_or(Value::Null, text)
}

/// A 64-bit hash as a parameter.
#[must_use]
pub fn hash(hash: u64) -> Value {
    Value::Blob(hash.to_be_bytes().to_vec())
}

/// A value's JSON as a parameter.
///
/// # Errors
/// When it has none.
pub fn json<T: serde::Serialize>(value: &T) -> Result<Value, SqlError> {
    serde_json::to_string(value)
        .map(Value::Text)
        .map_err(|error| SqlError::Refused(format!("a value without JSON: {error}")))
}

/// `?,?,?`: parameters for one list.
#[must_use]
pub fn marks(count: usize) -> String {
    let mut marks = "?,".repeat(count);
    marks.pop();
    marks
}

/// `(?,?),(?,?)`: parameters for several rows.
#[must_use]
pub fn row_marks(rows: usize, columns: usize) -> String {
    let mut marks = format!("({}),", self::marks(columns)).repeat(rows);
    marks.pop();
    marks
}

/// How many rows of that many columns one statement can bind beside `others`.
#[must_use]
pub const fn rows_per_statement(columns: usize, others: usize) -> usize {
    (MAX_PARAMETERS - others) / columns
}
