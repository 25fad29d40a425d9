//! Statement texts, their registry, and what each engine makes of them.
//!
//! One text serves both engines. Parameters are written `$1..$n` and are bound by number. SQLite would take `$2` for
//! a *name* and number the parameters by first appearance, so that `SET a = $2 WHERE b = $1` silently swaps the
//! values; therefore the text for SQLite says `?2`.

use super::Engine;

/// Whose data a statement touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Data of one tenant: the text must mention `tenant_id`.
    Tenant,
    /// Data of no tenant, or of all of them on purpose.
    Global,
}

/// A registered statement. Made by [`statements!`](crate::statements).
#[derive(Debug)]
pub struct Statement {
    /// The name of the static.
    pub name: &'static str,
    /// The text with tokens and `$n` parameters.
    pub sql: &'static str,
    /// Whose data it touches.
    pub scope: Scope,
    /// Why it may scan a whole table, when it may.
    pub scan: Option<&'static str>,
}

impl Statement {
    /// Used by [`statements!`](crate::statements).
    #[must_use]
    pub const fn new(name: &'static str, sql: &'static str, scope: Scope) -> Self {
        Self {
            name,
            sql,
            scope,
            scan: None,
        }
    }

    /// Allows full scans, for a stated reason.
    #[must_use]
    pub const fn scan(mut self, reason: &'static str) -> Self {
        self.scan = Some(reason);
        self
    }

    pub(crate) fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The text as the engine gets it.
    #[must_use]
    pub fn text(&self, engine: Engine) -> String {
        let expanded = expand(self.sql, engine);
        match engine {
            Engine::Sqlite => number(&expanded),
            Engine::Postgres => expanded,
        }
    }
}

/// The portable type of a column of an [`Insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A UUID.
    Uuid,
    /// An integer or a time.
    Int,
    /// A small integer.
    Small,
    /// A floating point number.
    Float,
    /// A truth value.
    Bool,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A JSON document.
    Json,
}

impl ColumnType {
    /// The array type that carries the column to PostgreSQL, and the cast of one element.
    const fn postgres(self) -> (&'static str, &'static str) {
        match self {
            Self::Uuid => ("uuid[]", ""),
            Self::Int => ("int8[]", ""),
            Self::Small => ("int2[]", ""),
            Self::Float => ("float8[]", ""),
            Self::Bool => ("bool[]", ""),
            Self::Text => ("text[]", ""),
            Self::Bytes => ("bytea[]", ""),
            Self::Json => ("text[]", "::jsonb"),
        }
    }
}

/// An insert of many rows. Made by [`inserts!`](crate::inserts).
#[derive(Debug)]
pub struct Insert {
    /// The name of the static.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// The columns in the order of the values.
    pub columns: &'static [(&'static str, ColumnType)],
    /// What follows the rows, such as `ON CONFLICT (tenant_id, id) DO NOTHING`; may be empty. DO UPDATE must not meet
    /// the same key twice in one call: PostgreSQL refuses that.
    pub conflict: &'static str,
    /// Whose data it touches.
    pub scope: Scope,
}

impl Insert {
    pub(crate) fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The text as the engine gets it: one row per run on SQLite, one array per column on PostgreSQL.
    #[must_use]
    pub fn text(&self, engine: Engine) -> String {
        let names = self
            .columns
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ");
        let numbered = |each: &dyn Fn(usize, ColumnType) -> String| {
            self.columns
                .iter()
                .enumerate()
                .map(|(i, (_, kind))| each(i + 1, *kind))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (table, conflict) = (self.table, self.conflict);
        match engine {
            Engine::Sqlite => {
                let values = numbered(&|n, _| format!("?{n}"));
                format!("INSERT INTO {table} ({names}) VALUES ({values}) {conflict}")
            }
            Engine::Postgres => {
                let select = numbered(&|n, kind| format!("u.c{n}{}", kind.postgres().1));
                let arrays = numbered(&|n, kind| format!("${n}::{}", kind.postgres().0));
                let aliases = numbered(&|n, _| format!("c{n}"));
                format!(
                    "INSERT INTO {table} ({names}) SELECT {select} FROM UNNEST({arrays}) AS u({aliases}) {conflict}"
                )
            }
        }
    }
}

/// The statements and inserts of one module, for the registry.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// The module's name.
    pub name: &'static str,
    /// Its statements.
    pub statements: &'static [&'static Statement],
    /// Its inserts.
    pub inserts: &'static [&'static Insert],
}

/// The tokens of the dialect: what SQLite reads, what PostgreSQL reads.
const TOKENS: &[(&str, &str, &str)] = &[
    ("{uuid}", "BLOB", "uuid"),
    ("{bytes}", "BLOB", "bytea"),
    ("{json}", "TEXT", "jsonb"),
    ("{time}", "INTEGER", "bigint"),
    ("{int}", "INTEGER", "bigint"),
    ("{small}", "INTEGER", "smallint"),
    ("{float}", "REAL", "double precision"),
    ("{bool}", "INTEGER", "boolean"),
    ("{text}", "TEXT", "text"),
    ("{strict}", "STRICT", ""),
    ("{clustered}", "STRICT, WITHOUT ROWID", ""),
    ("{lock}", "", "FOR UPDATE"),
    ("{skip_locked}", "", "FOR UPDATE SKIP LOCKED"),
];

/// Replaces the tokens. Other text in braces, such as a JSON literal, stays.
pub(crate) fn expand(sql: &str, engine: Engine) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((token, sqlite, postgres)) =
            TOKENS.iter().find(|(token, ..)| rest.starts_with(token))
        {
            out.push_str(match engine {
                Engine::Sqlite => sqlite,
                Engine::Postgres => postgres,
            });
            rest = &rest[token.len()..];
        } else {
            out.push('{');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Turns `$n` into `?n` outside of quotes and comments.
pub(crate) fn number(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut quote = None;
    let mut previous = ' ';
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            // A doubled quote closes and opens again, which comes to the same.
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '-' && previous == '-' => quote = Some('\n'),
            None if c == '$' && chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push('?');
                previous = c;
                continue;
            }
            None => {}
        }
        previous = c;
        out.push(c);
    }
    out
}

/// Whether the text changes data, as far as its words tell.
pub(crate) fn writes(sql: &str) -> bool {
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .enumerate()
        .any(|(at, word)| {
            let changes = |verb: &str| word.eq_ignore_ascii_case(verb);
            // `FOR UPDATE` and the function replace() are the reasons to look at the first word only for these two.
            (at == 0 && (changes("UPDATE") || changes("REPLACE")))
                || changes("INSERT")
                || changes("DELETE")
        })
}

/// Defines the statements of a module as statics, and `STATEMENTS`, the list of them all.
///
/// ```
/// waxwing_store::statements! {
///     pub FIND_TENANT [global] = "SELECT id, name FROM tenants WHERE id = $1";
///     pub LIST_NOTES [tenant] = "SELECT id, text FROM notes WHERE tenant_id = $1 ORDER BY id";
///     pub COUNT_NOTES [tenant, scan: "once a day"] = "SELECT count(*) FROM notes WHERE tenant_id = $1";
/// }
/// ```
#[macro_export]
macro_rules! statements {
    (@scope tenant) => { $crate::Scope::Tenant };
    (@scope global) => { $crate::Scope::Global };
    ($(
        $(#[$meta:meta])*
        $vis:vis $name:ident [$scope:ident $(, scan: $scan:literal)?] = $sql:expr;
    )*) => {
        $(
            $(#[$meta])*
            #[doc = $sql]
            $vis static $name: $crate::Statement =
                $crate::Statement::new(stringify!($name), $sql, $crate::statements!(@scope $scope))$(.scan($scan))?;
        )*

        /// Every statement of this module, for the registry.
        pub const STATEMENTS: &[&$crate::Statement] = &[$(&$name),*];
    };
}

/// Defines the inserts of a module as statics, and `INSERTS`, the list of them all.
///
/// ```
/// waxwing_store::inserts! {
///     pub ADD_NOTES [tenant] = notes(tenant_id uuid, id uuid, at int, body json) "ON CONFLICT DO NOTHING";
/// }
/// ```
#[macro_export]
macro_rules! inserts {
    (@type uuid) => { $crate::ColumnType::Uuid };
    (@type int) => { $crate::ColumnType::Int };
    (@type time) => { $crate::ColumnType::Int };
    (@type small) => { $crate::ColumnType::Small };
    (@type float) => { $crate::ColumnType::Float };
    (@type bool) => { $crate::ColumnType::Bool };
    (@type text) => { $crate::ColumnType::Text };
    (@type bytes) => { $crate::ColumnType::Bytes };
    (@type json) => { $crate::ColumnType::Json };
    ($(
        $(#[$meta:meta])*
        $vis:vis $name:ident [$scope:ident] = $table:ident($($column:ident $type:ident),+ $(,)?) $conflict:literal;
    )*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("Inserts rows into `", stringify!($table), "`. ", $conflict)]
            $vis static $name: $crate::Insert = $crate::Insert {
                name: stringify!($name),
                table: stringify!($table),
                columns: &[$((stringify!($column), $crate::inserts!(@type $type))),+],
                conflict: $conflict,
                scope: $crate::statements!(@scope $scope),
            };
        )*

        /// Every insert of this module, for the registry.
        pub const INSERTS: &[&$crate::Insert] = &[$(&$name),*];
    };
}
