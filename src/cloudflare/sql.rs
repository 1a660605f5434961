//! The SQL port on a Durable Object's SQLite.
//!
//! A statement is one call across the boundary between wasm and JavaScript, with its parameters as
//! one JSON text and its rows as another. Bytes in them are lists of numbers.

use wasm_bindgen::JsValue;

use crate::base::json::parse_json;
use crate::base::sql::{Sql, SqlError, Value};

use super::glue::{self, Database, Storage};

/// The largest integer that is exact as a JavaScript number (`Number.MAX_SAFE_INTEGER`).
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A Durable Object's database.
pub(super) struct ObjectSql {
    sql: Database,
    storage: Storage,
}

impl ObjectSql {
    pub(super) fn new(storage: &Storage) -> Self {
        Self { sql: storage.sql(), storage: storage.clone() }
    }

    /// Runs `work` in a transaction, which holds if it says so. Not generic: there is one copy of
    /// it, whatever the kinds of work.
    fn run(&self, work: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        let outcome = self.storage.transaction_sync(&mut || {
            // A transaction that throws is rolled back.
            let rolled_back = || js_sys::Error::new("rolled back").into();
            if work() { Ok(JsValue::UNDEFINED) } else { Err(rolled_back()) }
        });
        outcome.map(drop).map_err(|error| SqlError::Refused(glue::words(&error)))
    }
}

impl Sql for ObjectSql {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        let rows = glue::sql_exec(&self.sql, statement, &bindings(parameters)?)
            .map_err(|error| SqlError::Refused(glue::words(&error)))?;
        let Some(rows) = rows else { return Ok(Vec::new()) };
        let rows = parse_json(rows.as_bytes()).map_err(|_| strange())?;
        list(rows)?.into_iter().map(|row| list(row)?.into_iter().map(value).collect()).collect()
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut work = Some(work);
        let mut done = None;
        let outcome = self.run(&mut || {
            done = work.take().map(|work| work());
            matches!(done, Some(Ok(_)))
        });
        match done {
            Some(Ok(value)) => outcome.map(|()| value).map_err(E::from),
            Some(Err(error)) => Err(error),
            None => {
                let silent = || SqlError::Refused("the transaction did not run".into());
                Err(outcome.err().unwrap_or_else(silent).into())
            }
        }
    }

    fn size(&self) -> u64 {
        self.sql.size() as u64
    }
}

/// Parameters as a JSON text.
fn bindings(parameters: &[Value]) -> Result<String, SqlError> {
    let mut text = String::from("[");
    for parameter in parameters {
        if text.len() > 1 {
            text.push(',');
        }
        let json = match parameter {
            Value::Null => Ok("null".to_owned()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::Text(words) => serde_json::to_string(words),
            Value::Blob(bytes) => serde_json::to_string(bytes),
        };
        text.push_str(&json.map_err(|error| SqlError::Refused(error.to_string()))?);
    }
    text.push(']');
    Ok(text)
}

/// A column out of JSON.
fn value(column: serde_json::Value) -> Result<Value, SqlError> {
    Ok(match column {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Number(number) => {
            let exact = number.as_i64().filter(|number| number.unsigned_abs() <= MAX_SAFE);
            Value::Integer(exact.ok_or_else(|| {
                SqlError::Damaged("an integer column holds a fraction".to_owned())
            })?)
        }
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(bytes) => {
            let byte = |byte: &serde_json::Value| u8::try_from(byte.as_u64()?).ok();
            Value::Blob(bytes.iter().map(byte).collect::<Option<_>>().ok_or_else(strange)?)
        }
        serde_json::Value::Bool(_) | serde_json::Value::Object(_) => return Err(strange()),
    })
}

fn list(value: serde_json::Value) -> Result<Vec<serde_json::Value>, SqlError> {
    match value {
        serde_json::Value::Array(values) => Ok(values),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)
        | serde_json::Value::Object(_) => Err(strange()),
    }
}

#[cold]
fn strange() -> SqlError {
    SqlError::Damaged("a column holds what SQLite has no word for".to_owned())
}
