//! The SQL port on real SQLite: the statements that run in Durable Objects run here.

use std::rc::Rc;

use edge_isr::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

/// One database. Cloning shares it, so that a test can drop what uses it and open it again.
#[derive(Clone)]
pub(crate) struct Sqlite(Rc<Connection>);

impl Sqlite {
    /// A database in memory.
    pub(crate) fn memory() -> Self {
        Self::of(in_memory())
    }

    fn of(connection: Connection) -> Self {
        // As many as an object has, and not planned anew for other parameters: parsing is most of
        // the work.
        connection.set_prepared_statement_cache_capacity(512);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        Self(Rc::new(connection))
    }

    /// A copy in memory of what it holds now.
    pub(crate) fn copy(&self) -> Self {
        let mut to = in_memory();
        let backup = rusqlite::backup::Backup::new(&self.0, &mut to).unwrap();
        assert_eq!(backup.step(-1).unwrap(), rusqlite::backup::StepResult::Done);
        drop(backup);
        Self::of(to)
    }

    /// Whether something is not committed yet.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_autocommit()
    }

    /// What a crash does: what is not committed is lost.
    pub(crate) fn roll_back(&self) {
        if self.is_open() {
            self.exec("ROLLBACK", &[]).unwrap();
        }
    }

    /// Empties every table, so that it can be used again: quicker than a new one, because what was
    /// parsed stays.
    pub(crate) fn clear(&self) {
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
        for row in self.exec(tables, &[]).unwrap() {
            let [Value::Text(name)] = row.as_slice() else { continue };
            self.exec(&format!("DELETE FROM {name}"), &[]).unwrap();
        }
    }

    /// A database in a file.
    pub(crate) fn file(path: &std::path::Path) -> Self {
        Self::of(Connection::open(path).unwrap())
    }
}

/// Used by one thread, so without locks.
fn in_memory() -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_in_memory_with_flags(flags).unwrap()
}

impl Sql for Sqlite {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        if parameters.len() > MAX_PARAMETERS {
            return Err(SqlError::Refused(format!("{} parameters", parameters.len())));
        }
        // Sql::exec says why.
        assert!(!statement.contains("LIMIT ?"), "planned anew at each call: {statement}");
        run(&self.0, statement, parameters).map_err(|error| SqlError::Refused(error.to_string()))
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.exec("SAVEPOINT work", &[])?;
        match work() {
            Ok(value) => {
                self.exec("RELEASE work", &[])?;
                Ok(value)
            }
            Err(error) => {
                // A full database has rolled all of it back by itself.
                if self.exec("ROLLBACK TO work", &[]).is_ok() {
                    self.exec("RELEASE work", &[])?;
                }
                Err(error)
            }
        }
    }

    fn size(&self) -> u64 {
        self.0
            .query_row(
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
                [],
                |row| row.get::<_, i64>(0),
            )
            .unwrap()
            .unsigned_abs()
    }
}

/// A parameter as it is: nothing is copied.
struct Parameter<'a>(&'a Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => {
                assert!(number.unsigned_abs() <= 1 << 53, "{number} is no JavaScript number");
                ValueRef::Integer(*number)
            }
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn run(
    connection: &Connection,
    statement: &str,
    parameters: &[Value],
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = connection.prepare_cached(statement)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(parameters.iter().map(Parameter)))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for at in 0..columns {
            values.push(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => panic!("a real number: {number}"),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            });
        }
        all.push(values);
    }
    Ok(all)
}
