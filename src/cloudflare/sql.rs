//! The SQL port on a Durable Object's SQLite.

use wasm_bindgen::JsValue;
use worker::{SqlStorage, SqlStorageValue};

use crate::sql::{Sql, SqlError, Value};

use super::glue;

/// A Durable Object's database.
#[derive(Clone)]
pub(super) struct ObjectSql {
    sql: SqlStorage,
    storage: JsValue,
}

impl ObjectSql {
    pub(super) fn new(state: &worker::State) -> Self {
        let storage = state.storage();
        Self { sql: storage.sql(), storage: storage.as_raw().into() }
    }

    /// Runs `work` in a transaction, which holds if it says so. Not generic: there is one copy of it,
    /// whatever the kinds of work.
    fn run(&self, work: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        let outcome = glue::transaction_sync(&self.storage, &mut || {
            // Throwing is how a transaction is told to roll back.
            let rolled_back = || js_sys::Error::new("rolled back").into();
            if work() { Ok(JsValue::UNDEFINED) } else { Err(rolled_back()) }
        });
        outcome.map(drop).map_err(|error| SqlError::Refused(glue::words(&error)))
    }
}

impl Sql for ObjectSql {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        let bindings: Vec<SqlStorageValue> = parameters
            .iter()
            .map(|value| match value {
                Value::Null => SqlStorageValue::Null,
                Value::Integer(number) => SqlStorageValue::Integer(*number),
                Value::Text(text) => SqlStorageValue::String(text.clone()),
                Value::Blob(bytes) => SqlStorageValue::Blob(bytes.clone()),
            })
            .collect();
        let failed = |error: worker::Error| SqlError::Refused(error.to_string());
        let cursor = self.sql.exec(statement, bindings).map_err(failed)?;
        cursor.raw().map(|row| row.map_err(failed)?.into_iter().map(value).collect()).collect()
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
        self.sql.database_size() as u64
    }
}

fn value(column: SqlStorageValue) -> Result<Value, SqlError> {
    Ok(match column {
        SqlStorageValue::Null => Value::Null,
        SqlStorageValue::Boolean(truth) => Value::Integer(i64::from(truth)),
        SqlStorageValue::Integer(number) => Value::Integer(number),
        SqlStorageValue::Float(_) => {
            return Err(SqlError::Damaged("an integer column holds a fraction".into()));
        }
        SqlStorageValue::String(text) => Value::Text(text),
        SqlStorageValue::Blob(bytes) => Value::Blob(bytes),
    })
}
