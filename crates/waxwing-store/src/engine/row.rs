//! Values that come out of statements.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::StoreError;

/// One column of one row, borrowed from the engine.
#[derive(Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// An integer of any width.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value (PostgreSQL only; SQLite gives 0 or 1).
    Bool(bool),
    /// Text or a JSON document.
    Text(&'a str),
    /// Bytes, and a UUID of SQLite.
    Bytes(&'a [u8]),
    /// A UUID (PostgreSQL only).
    Uuid(Uuid),
}

impl Cell<'_> {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "uuid",
        }
    }

    /// The error for a cell that is not what `expected` says. It names kinds, never the value.
    #[must_use]
    pub fn mismatch(&self, expected: &str) -> StoreError {
        StoreError::corrupt(format!(
            "a column holds {} where {expected} is expected",
            self.kind()
        ))
    }
}

/// A type that can be read from one column.
pub trait FromColumn: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the column holds something else.
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError>;
}

/// A type that can be read from a whole row, column by column in the order of the select list.
pub trait FromRow: Sized {
    /// How many columns the statement must give.
    const COLUMNS: usize;

    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when a column holds something else than expected.
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError>;
}

/// One row of a result.
pub struct Row<'a>(pub(crate) RowSource<'a>);

pub(crate) enum RowSource<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// The column number `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when it does not exist or holds something else than `T`.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, StoreError> {
        let cell = match self.0 {
            RowSource::Sqlite(row) => sqlite_cell(row, index)?,
            RowSource::Postgres(row) => row.try_get::<_, Cell<'_>>(index).map_err(|error| {
                StoreError::corrupt(format!("column {index} cannot be read: {error}"))
            })?,
        };
        T::from_column(cell).map_err(|error| match error {
            StoreError::Corrupt { what } => StoreError::corrupt(format!("{what} (column {index})")),
            other => other,
        })
    }
}

fn sqlite_cell<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> Result<Cell<'a>, StoreError> {
    use rusqlite::types::ValueRef;
    let value = row
        .get_ref(index)
        .map_err(|_| StoreError::corrupt(format!("there is no column {index}")))?;
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(v) => Cell::Int(v),
        ValueRef::Real(v) => Cell::Float(v),
        ValueRef::Text(v) => Cell::Text(
            std::str::from_utf8(v).map_err(|_| StoreError::corrupt("text that is not UTF-8"))?,
        ),
        ValueRef::Blob(v) => Cell::Bytes(v),
    })
}

impl FromColumn for i64 {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Int(v) => Ok(v),
            other => Err(other.mismatch("an integer")),
        }
    }
}

macro_rules! narrow_columns {
    ($($type:ty),*) => {$(
        impl FromColumn for $type {
            fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
                let wide = i64::from_column(cell)?;
                Self::try_from(wide)
                    .map_err(|_| StoreError::corrupt(concat!("an integer outside of ", stringify!($type))))
            }
        }
    )*};
}

narrow_columns!(i32, i16, u64, u32, u16, u8, usize);

impl FromColumn for f64 {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Float(v) => Ok(v),
            // An average or a sum that happens to be whole may come as an integer.
            #[expect(clippy::cast_precision_loss, reason = "a statistic, not an amount")]
            Cell::Int(v) => Ok(v as Self),
            other => Err(other.mismatch("a number")),
        }
    }
}

impl FromColumn for bool {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Bool(v) => Ok(v),
            Cell::Int(0) => Ok(false),
            Cell::Int(1) => Ok(true),
            other => Err(other.mismatch("a truth value")),
        }
    }
}

impl FromColumn for String {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Text(v) => Ok(v.to_owned()),
            other => Err(other.mismatch("text")),
        }
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Bytes(v) => Ok(v.to_vec()),
            other => Err(other.mismatch("bytes")),
        }
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Bytes(v) => v
                .try_into()
                .map_err(|_| StoreError::corrupt(format!("bytes that are not {N} long"))),
            other => Err(other.mismatch("bytes")),
        }
    }
}

impl FromColumn for Uuid {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Uuid(v) => Ok(v),
            Cell::Bytes(v) => Self::from_slice(v)
                .map_err(|_| StoreError::corrupt("a UUID that is not 16 bytes long")),
            other => Err(other.mismatch("a UUID")),
        }
    }
}

impl FromColumn for serde_json::Value {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        Json::from_column(cell).map(|Json(value)| value)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            Cell::Null => Ok(None),
            other => T::from_column(other).map(Some),
        }
    }
}

/// A column that holds a JSON document of a known form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromColumn for Json<T> {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        match cell {
            // The error of serde would quote the document.
            Cell::Text(text) => serde_json::from_str(text)
                .map(Self)
                .map_err(|_| StoreError::corrupt("a JSON document of an unexpected form")),
            other => Err(other.mismatch("JSON")),
        }
    }
}

macro_rules! scalar_rows {
    ($($type:ty),* $(,)?) => {$(
        impl FromRow for $type {
            const COLUMNS: usize = 1;

            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                row.get(0)
            }
        }
    )*};
}

scalar_rows!(i64, i32, u64, u32, usize, f64, bool, String, Vec<u8>, Uuid);

impl<T: FromColumn> FromRow for Option<T> {
    const COLUMNS: usize = 1;

    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        row.get(0)
    }
}

macro_rules! tuple_rows {
    ($(($count:literal: $($type:ident $index:literal),+))*) => {$(
        impl<$($type: FromColumn),+> FromRow for ($($type,)+) {
            const COLUMNS: usize = $count;

            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                Ok(($(row.get::<$type>($index)?,)+))
            }
        }
    )*};
}

tuple_rows! {
    (1: A 0)
    (2: A 0, B 1)
    (3: A 0, B 1, C 2)
    (4: A 0, B 1, C 2, D 3)
    (5: A 0, B 1, C 2, D 3, E 4)
    (6: A 0, B 1, C 2, D 3, E 4, F 5)
    (7: A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// Defines structs that are read from rows: the order of the fields is the order of the select list.
///
/// ```
/// waxwing_store::row! {
///     /// A tenant as lists show it.
///     #[derive(Clone)]
///     pub struct TenantRow { id: uuid::Uuid, name: String, email: Option<String> }
/// }
/// ```
///
/// All fields are public. No trait is derived unless asked for; derive `Debug` only where no field is personal.
#[macro_export]
macro_rules! row {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty),+ $(,)? }
    )+) => {$(
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* #[doc = concat!("Column `", stringify!($field), "`.")] pub $field: $type,)+
        }

        impl $crate::FromRow for $name {
            const COLUMNS: usize = [$(stringify!($field)),+].len();

            fn from_row(row: &$crate::Row<'_>) -> ::core::result::Result<Self, $crate::StoreError> {
                let mut columns = 0..;
                Ok(Self { $($field: row.get(columns.next().unwrap_or_default())?,)+ })
            }
        }
    )+};
}
