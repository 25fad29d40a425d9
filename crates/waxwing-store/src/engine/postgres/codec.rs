//! Values on the wire, in PostgreSQL's binary form.

use std::error::Error;
use std::fmt;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};
use uuid::Uuid;

use crate::engine::row::{Cell, Row, RowSource};
use crate::engine::value::{Value, clean_json, clean_text};

type Failure = Box<dyn Error + Sync + Send>;

impl<'a> Row<'a> {
    pub(crate) fn postgres(row: &'a tokio_postgres::Row) -> Self {
        Self(RowSource::Postgres(row))
    }
}

/// A parameter. Its form follows the type that PostgreSQL inferred for the place.
pub(crate) struct Param<'a>(pub &'a Value);

/// The driver may log parameters; this shows the kind only.
impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        encode(self.0, ty, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        encode(self.0, ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }
}

fn encode(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
    let is_text = |ty: &Type| {
        [
            Type::TEXT,
            Type::VARCHAR,
            Type::BPCHAR,
            Type::NAME,
            Type::UNKNOWN,
        ]
        .contains(ty)
    };
    match value {
        Value::Null => return Ok(IsNull::Yes),
        Value::Int(v) if *ty == Type::INT8 => out.put_i64(*v),
        Value::Int(v) if *ty == Type::INT4 => {
            out.put_i32(i32::try_from(*v).map_err(|_| "an integer beyond int4")?)
        }
        Value::Int(v) if *ty == Type::INT2 => {
            out.put_i16(i16::try_from(*v).map_err(|_| "an integer beyond int2")?)
        }
        Value::Float(v) if *ty == Type::FLOAT8 => out.put_f64(*v),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the column holds no more digits"
        )]
        Value::Float(v) if *ty == Type::FLOAT4 => out.put_f32(*v as f32),
        Value::Bool(v) if *ty == Type::BOOL => out.put_u8(u8::from(*v)),
        Value::Text(v) if is_text(ty) => out.put_slice(clean_text(v).as_bytes()),
        Value::Text(v) | Value::Json(v) if *ty == Type::JSONB => {
            // The version of the binary form.
            out.put_u8(1);
            out.put_slice(clean_json(v).as_bytes());
        }
        Value::Text(v) | Value::Json(v) if *ty == Type::JSON => {
            out.put_slice(clean_json(v).as_bytes())
        }
        Value::Json(v) if is_text(ty) => out.put_slice(clean_json(v).as_bytes()),
        Value::Bytes(v) if *ty == Type::BYTEA => out.put_slice(v),
        Value::Uuid(v) if *ty == Type::UUID => out.put_slice(v.as_bytes()),
        other => return Err(format!("{} cannot go into {}", other.kind(), ty.name()).into()),
    }
    Ok(IsNull::No)
}

/// One column of many rows as an array.
pub(crate) struct Column<'a, R> {
    pub rows: &'a [R],
    pub index: usize,
}

impl<R> fmt::Debug for Column<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} of {} rows", self.index, self.rows.len())
    }
}

impl<R: AsRef<[Value]>> ToSql for Column<'_, R> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let tokio_postgres::types::Kind::Array(element) = ty.kind() else {
            return Err(format!("{} is no array", ty.name()).into());
        };
        let values = || self.rows.iter().map(|row| &row.as_ref()[self.index]);
        // One dimension, whether there are NULLs, the type, the length, the lower bound; then each with its length.
        out.put_i32(1);
        out.put_i32(i32::from(values().any(|value| *value == Value::Null)));
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.rows.len())?);
        out.put_i32(1);
        for value in values() {
            let at = out.len();
            out.put_i32(-1);
            if let IsNull::No = encode(value, element, out)? {
                let length = i32::try_from(out.len() - at - 4)?;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        self.to_sql(ty, out)
    }
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Self::Int(i64::from(i32::from_be_bytes(raw.try_into()?))),
            Type::INT2 => Self::Int(i64::from(i16::from_be_bytes(raw.try_into()?))),
            Type::OID => Self::Int(i64::from(u32::from_be_bytes(raw.try_into()?))),
            Type::FLOAT8 => Self::Float(f64::from_be_bytes(raw.try_into()?)),
            Type::FLOAT4 => Self::Float(f64::from(f32::from_be_bytes(raw.try_into()?))),
            Type::BOOL => Self::Bool(raw == [1]),
            Type::UUID => Self::Uuid(Uuid::from_slice(raw)?),
            Type::BYTEA => Self::Bytes(raw),
            Type::NUMERIC => numeric(raw)?,
            Type::VOID => Self::Null,
            Type::JSONB => match raw {
                [1, text @ ..] => Self::Text(std::str::from_utf8(text)?),
                _ => return Err("an unknown form of jsonb".into()),
            },
            Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::JSON
            | Type::CHAR => Self::Text(std::str::from_utf8(raw)?),
            _ => return Err(format!("the type {} has no portable form", ty.name()).into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// `sum(bigint)` and `avg` give NUMERIC. A whole number that fits becomes an integer, as SQLite gives it; anything else
/// a floating point number. Form: count of digits, weight of the first, sign, scale, digits of base 10,000.
fn numeric(raw: &[u8]) -> Result<Cell<'static>, Failure> {
    let field = |at: usize| -> Result<i16, Failure> {
        Ok(i16::from_be_bytes(
            raw.get(at..at + 2).ok_or("a short number")?.try_into()?,
        ))
    };
    let (count, weight, sign) = (field(0)?, field(2)?, field(4)?.cast_unsigned());
    if !matches!(sign, 0 | 0x4000) {
        return Ok(Cell::Float(f64::NAN));
    }
    let (mut whole, mut float) = (Some(0_i64), 0_f64);
    for at in 0..usize::try_from(count)? {
        let digit = field(8 + 2 * at)?;
        let power = i32::from(weight) - i32::try_from(at)?;
        float += f64::from(digit) * 10_000_f64.powi(power);
        whole = match u32::try_from(power) {
            Ok(power) => whole.and_then(|sum| {
                sum.checked_add(
                    10_000_i64
                        .checked_pow(power)?
                        .checked_mul(i64::from(digit))?,
                )
            }),
            // A digit behind the point.
            Err(_) => None,
        };
    }
    let negative = sign != 0;
    Ok(match whole {
        Some(value) => Cell::Int(if negative { -value } else { value }),
        None => Cell::Float(if negative { -float } else { float }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_base_ten_thousand() {
        // 12345 = 1·10⁴ + 2345; −0.5 = −5000·10⁻⁴; zero has no digits.
        let cases: [(&[i16], Cell<'_>); 3] = [
            (&[2, 1, 0, 0, 1, 2345], Cell::Int(12_345)),
            (&[1, -1, 0x4000, 1, 5000], Cell::Float(-0.5)),
            (&[0, 0, 0, 0], Cell::Int(0)),
        ];
        for (words, expected) in cases {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert!(numeric(&raw).unwrap() == expected);
        }
        assert!(numeric(&[0, 1]).is_err());
    }
}
