//! Rules for every statement of the crate.

use std::collections::BTreeSet;

use crate::domain::MODULES;
use crate::testing::{TestDb, TestOptions, run};
use crate::{Engine, Insert, Scope, Statement};

fn statements() -> impl Iterator<Item = (&'static str, &'static Statement)> {
    MODULES.iter().flat_map(|module| {
        module
            .statements
            .iter()
            .map(move |statement| (module.name, *statement))
    })
}

fn inserts() -> impl Iterator<Item = (&'static str, &'static Insert)> {
    MODULES.iter().flat_map(|module| {
        module
            .inserts
            .iter()
            .map(move |insert| (module.name, *insert))
    })
}

/// Every text with its name, as the engine gets it.
fn texts(engine: Engine) -> Vec<(String, String)> {
    let plain = statements().map(|(module, statement)| {
        (
            format!("{module}::{}", statement.name),
            statement.text(engine),
        )
    });
    let many = inserts()
        .map(|(module, insert)| (format!("{module}::{}", insert.name), insert.text(engine)));
    plain.chain(many).collect()
}

fn check(engine: Engine, problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{}:\n{}",
        engine.name(),
        problems.join("\n")
    );
}

#[test]
fn tenant_statements_mention_the_tenant_and_names_are_unique() {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (module, statement) in statements() {
        if statement.scope == Scope::Tenant && !statement.sql.contains("tenant_id") {
            problems.push(format!(
                "{module}::{} does not mention tenant_id",
                statement.name
            ));
        }
        if !seen.insert((module, statement.name)) {
            problems.push(format!("{module}::{} is there twice", statement.name));
        }
    }
    for (module, insert) in inserts() {
        if insert.scope == Scope::Tenant
            && insert.columns.iter().all(|(name, _)| *name != "tenant_id")
        {
            problems.push(format!("{module}::{} does not set tenant_id", insert.name));
        }
    }
    check(Engine::Sqlite, &problems);
}

#[test]
fn no_unknown_token_is_left() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let unknown = |text: &str| {
            text.match_indices('{').any(|(at, _)| {
                text[at + 1..].split_once('}').is_some_and(|(word, _)| {
                    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                })
            })
        };
        let problems: Vec<_> = texts(engine)
            .into_iter()
            .filter(|(_, text)| unknown(text))
            .map(|(name, text)| format!("{name}: {text}"))
            .collect();
        check(engine, &problems);
    }
}

#[tokio::test]
async fn sqlite_prepares_every_statement_and_scans_no_tenant_table() {
    let db = TestDb::sqlite().await;
    let crate::DatabaseUrl::Sqlite(path) = &db.config().url else {
        unreachable!("a SQLite database")
    };
    let connection = rusqlite::Connection::open(path).unwrap();
    let tables = sqlite_tenant_tables(&connection);
    let mut problems = Vec::new();
    for (name, text) in texts(Engine::Sqlite) {
        if let Err(error) = connection.prepare(&text) {
            problems.push(format!("{name}: {error}"));
        }
    }
    for (module, statement) in statements().filter(|(_, statement)| statement.scan.is_none()) {
        let text = format!("EXPLAIN QUERY PLAN {}", statement.text(Engine::Sqlite));
        let Ok(mut plan) = connection.prepare(&text) else {
            continue;
        };
        let lines: Vec<String> = plan
            .raw_query()
            .mapped(|row| row.get(3))
            .collect::<Result<_, _>>()
            .unwrap();
        for line in lines {
            // `SCAN table`, perhaps `SCAN table AS t USING INDEX i`: an index does not make the scan short.
            let mut words = line.split_whitespace();
            let scanned = words.next() == Some("SCAN");
            let table = words.next().unwrap_or_default();
            if scanned && tables.contains(&aliased(statement.sql, table)) {
                problems.push(format!("{module}::{}: {line}", statement.name));
            }
            // One row is wanted and only the tenant is searched for: all rows of the tenant may be walked to find it.
            if statement.sql.ends_with("LIMIT 1") && line.ends_with("(tenant_id=?)") {
                problems.push(format!("{module}::{}: {line}", statement.name));
            }
        }
    }
    check(Engine::Sqlite, &problems);
    db.destroy().await;
}

fn sqlite_tenant_tables(connection: &rusqlite::Connection) -> BTreeSet<String> {
    let mut list = connection
        .prepare(
            "SELECT DISTINCT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name = 'tenant_id'",
        )
        .unwrap();
    list.query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The table behind an alias of the statement, `FROM table alias` or `FROM table AS alias`; the plan names the alias.
fn aliased(sql: &str, alias: &str) -> String {
    let words: Vec<&str> = sql
        .split(|c: char| c.is_whitespace() || c == '(' || c == ')' || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    let follows = |at: usize| {
        let next = words.get(at + 2).copied().unwrap_or_default();
        if next.eq_ignore_ascii_case("AS") {
            words.get(at + 3).copied()
        } else {
            Some(next)
        }
    };
    words
        .iter()
        .enumerate()
        .filter(|(_, word)| {
            ["FROM", "JOIN", "UPDATE", "INTO"]
                .iter()
                .any(|verb| word.eq_ignore_ascii_case(verb))
        })
        .find(|(at, _)| follows(*at) == Some(alias))
        .and_then(|(at, _)| words.get(at + 1))
        .map_or_else(|| alias.to_owned(), |table| (*table).to_owned())
}

#[test]
fn postgres_prepares_every_statement_and_scans_no_tenant_table() {
    run(Engine::Postgres, &TestOptions::default(), |db| async move {
        let crate::DatabaseUrl::Postgres(url) = &db.config().url else {
            unreachable!("a PostgreSQL database")
        };
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        let tables: BTreeSet<String> = client
            .query(
                "SELECT table_name::text FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND column_name = 'tenant_id'",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        let mut problems = Vec::new();
        for (name, text) in texts(Engine::Postgres) {
            if let Err(error) = client.prepare(&text).await {
                problems.push(format!("{name}: {error:?}"));
            }
        }
        // Small tables are scanned because they are small; without that choice only a missing index is.
        client
            .batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
            .await
            .unwrap();
        for (module, statement) in statements().filter(|(_, statement)| statement.scan.is_none()) {
            for line in postgres_plan(&client, statement).await {
                let table = line
                    .split_once("Seq Scan on ")
                    .and_then(|(_, rest)| rest.split_whitespace().next());
                if table.is_some_and(|table| tables.contains(table)) {
                    problems.push(format!("{module}::{}: {line}", statement.name));
                }
            }
        }
        check(Engine::Postgres, &problems);
    });
}

/// The plan without knowing the parameters.
async fn postgres_plan(client: &tokio_postgres::Client, statement: &Statement) -> Vec<String> {
    let text = statement.text(Engine::Postgres);
    if client
        .batch_execute(&format!("PREPARE checked AS {text}"))
        .await
        .is_err()
    {
        return Vec::new();
    }
    let prepared = client.prepare(&text).await.unwrap();
    let nulls = vec!["NULL"; prepared.params().len()].join(", ");
    let arguments = if nulls.is_empty() {
        String::new()
    } else {
        format!("({nulls})")
    };
    let plan = client
        .simple_query(&format!("EXPLAIN EXECUTE checked{arguments}"))
        .await
        .unwrap();
    client.batch_execute("DEALLOCATE checked").await.unwrap();
    let line = |message: &tokio_postgres::SimpleQueryMessage| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    plan.iter().filter_map(line).collect()
}

#[test]
fn aliases_lead_to_their_tables() {
    let sql = "SELECT 1 FROM messages m JOIN contacts AS c ON c.id = m.contact_id WHERE EXISTS (SELECT 1 FROM notes)";
    let cases = [
        ("m", "messages"),
        ("c", "contacts"),
        ("notes", "notes"),
        ("x", "x"),
    ];
    for (alias, table) in cases {
        assert_eq!(aliased(sql, alias), table);
    }
}
