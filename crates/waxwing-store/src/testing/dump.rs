//! The schema as text.

use crate::{Engine, Scope, Statement, Store};

static SQLITE: Statement = Statement::new(
    "SQLITE_DUMP",
    "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name",
    Scope::Global,
);

/// Tables with their columns, indexes, constraints.
static POSTGRES: Statement = Statement::new(
    "POSTGRES_DUMP",
    "SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) \
         || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v', 'p') \
     UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() \
     UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint \
     WHERE connamespace = current_schema()::regnamespace \
     UNION ALL SELECT 'function', p.proname, pg_get_functiondef(p.oid) FROM pg_proc p \
     WHERE p.pronamespace = current_schema()::regnamespace \
     UNION ALL SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t \
     JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal \
     ORDER BY 1, 2, 3",
    Scope::Global,
);

pub(crate) async fn dump(store: &Store) -> String {
    let lines: Vec<(String, String, String)> = store
        .read(|tx| match tx.engine() {
            Engine::Sqlite => tx.query(&SQLITE, &[]),
            Engine::Postgres => tx.query(&POSTGRES, &[]),
        })
        .await
        .expect("the catalogue of the database");
    lines
        .iter()
        .map(|(kind, name, text)| format!("{kind} {name}: {text}\n"))
        .collect()
}
