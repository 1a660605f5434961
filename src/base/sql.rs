//! The SQL port: what the journal and the index need of SQLite. Durable Objects and tests implement
//! it.

pub mod row;

/// A bound parameter or a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer; at most 2^53 in size, because a Durable Object's are JavaScript numbers.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlError {
    /// The database refused a statement; its own words.
    Refused(String),
    /// A stored value is not what it should be: its row is damaged.
    Damaged(String),
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(words) => write!(f, "SQL: {words}"),
            Self::Damaged(what) => write!(f, "a damaged row: {what}"),
        }
    }
}

impl std::error::Error for SqlError {}

/// The most parameters one statement may bind in a Durable Object.
pub const MAX_PARAMETERS: usize = 100;

/// One SQLite database.
pub trait Sql {
    /// Runs one statement and returns all its rows.
    ///
    /// A limit that is bound is written `LIMIT 0 + ?`: SQLite takes a parameter that stands alone
    /// there for a part of the plan, and parses the statement anew each time one is bound
    /// (<https://sqlite.org/qpsg.html>).
    ///
    /// # Errors
    /// When SQLite refuses it.
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError>;

    /// Runs `work` in one transaction: all of its writes or none.
    ///
    /// # Errors
    /// What `work` returned, after rolling back; or the database's own error.
    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>;

    /// Bytes that the database takes on disk.
    fn size(&self) -> u64;
}
