//! The SQL port of an object, watched: leases given and ended, epochs given, warms done.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use edge_isr::base::sql::{Sql, SqlError, Value};

use crate::common::sqlite::Sqlite;
use crate::watch::Property;
use crate::world::World;

/// A warm that left the queue: variant, epoch, the fencing number to be above; and whether it
/// counted as done.
type Ended = ([Value; 3], bool);

/// A database whose writes are noticed.
#[derive(Clone)]
pub(crate) struct Spy {
    sql: Sqlite,
    object: usize,
    world: Weak<World>,
    /// Warms that left the queue in this transaction.
    ended: Rc<RefCell<Vec<Ended>>>,
}

impl Spy {
    pub(crate) fn new(sql: Sqlite, object: usize, world: Weak<World>) -> Self {
        Self { sql, object, world, ended: Rc::default() }
    }

    fn notice(&self, statement: &str, parameters: &[Value]) -> Result<(), SqlError> {
        if statement.starts_with("DELETE FROM warm WHERE variant") {
            let query = "SELECT variant, epoch, above FROM warm WHERE variant = ?";
            let rows = self.sql.exec(query, parameters)?;
            let warms = rows.into_iter().filter_map(|row| <[Value; 3]>::try_from(row).ok());
            self.ended.borrow_mut().extend(warms.map(|warm| (warm, false)));
        } else if statement.starts_with("UPDATE job SET done")
            && let Some(last) = self.ended.borrow_mut().last_mut()
        {
            last.1 = true;
        }
        Ok(())
    }

    /// Whatever counts as done has a copy that covers it, or nothing left to store.
    fn check(&self) -> Result<(), SqlError> {
        for (warm, done) in self.ended.take() {
            let query = "SELECT digest, stamp, fence FROM variant
                WHERE id = ? AND (stamp < ? OR fence <= ?)";
            let open = if done { self.sql.exec(query, &warm)? } else { Vec::new() };
            if let (Some(row), Some(world)) = (open.first(), self.world.upgrade()) {
                let what = format!("shard {} calls warm {warm:?} done at {row:?}", self.object);
                world.violate(Property::NoLostWarm, what);
            }
        }
        Ok(())
    }
}

impl Sql for Spy {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        self.notice(statement, parameters)?;
        let rows = self.sql.exec(statement, parameters)?;
        if let Some(world) = self.world.upgrade() {
            world.wrote(self.object, statement, parameters, &rows);
        }
        Ok(rows)
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let result = self.sql.transaction(work)?;
        self.check()?;
        Ok(result)
    }

    fn size(&self) -> u64 {
        self.sql.size()
    }
}
