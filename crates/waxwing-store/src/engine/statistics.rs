//! What PostgreSQL's planner knows of tables that grow fast.
//!
//! A plan is made once for each connection. Made while a table is empty, it takes any index whose first column fits, and
//! so walks all rows of a tenant to find one. Autovacuum mends that, but it looks once a minute: a new installation would
//! spend its first minutes, or the first minutes of a load, on such plans.

use super::statement::{Scope, Statement};
use super::store::Store;
use crate::{Engine, StoreError};

/// Analyzes the tables that have doubled since that was done last; one process at a time does it. It neither waits for
/// writers nor holds them up, leaves tables alone that autovacuum is at, and makes the sessions plan again.
static ANALYZE_GROWN: Statement = Statement::new(
    "ANALYZE_GROWN",
    "DO $$ DECLARE grown regclass; BEGIN \
       IF NOT pg_try_advisory_xact_lock(8437265, hashtext(current_setting('search_path'))) THEN RETURN; END IF; \
       FOR grown IN SELECT s.relid FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid \
         WHERE s.schemaname = current_schema() AND s.n_live_tup > 2 * GREATEST(c.reltuples, 250) \
       LOOP EXECUTE format('ANALYZE (SKIP_LOCKED) %s', grown); END LOOP; \
     END $$",
    Scope::Global,
);

impl Store {
    /// Tells PostgreSQL's planner of tables that have grown much. SQLite's takes its indexes by their columns and needs
    /// nothing.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn refresh_statistics(&self) -> Result<(), StoreError> {
        match self.engine() {
            Engine::Sqlite => Ok(()),
            Engine::Postgres => {
                self.write_bulk(|tx| tx.execute(&ANALYZE_GROWN, &[]).map(|_| ()))
                    .await
            }
        }
    }
}
