//! Statements, values and errors, between ours and `rusqlite`'s.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};

use crate::store::Error;
use crate::store::change::{Row, Rows, Statement, Value};

pub(super) fn execute(connection: &Connection, statement: &Statement) -> rusqlite::Result<Rows> {
    rows(connection, statement.sql, &statement.params)
}

/// Runs one statement.
pub(in crate::store) fn rows(
    connection: &Connection,
    sql: &str,
    params: &[Value],
) -> rusqlite::Result<Rows> {
    answers_of(&mut *connection.prepare_cached(sql)?, params)
}

pub(super) fn answers_of(
    prepared: &mut rusqlite::Statement<'_>,
    params: &[Value],
) -> rusqlite::Result<Rows> {
    for (index, value) in params.iter().enumerate() {
        let index = index + 1;
        prepared.raw_bind_parameter(index, value)?;
    }
    let columns = prepared.column_count();
    if columns == 0 {
        let changed = prepared.raw_execute()?;
        return Ok(vec![Row(Vec::new()); usize::from(changed > 0)]);
    }
    let mut answer = prepared.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = answer.next()? {
        let values = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(int) => Value::Int(int),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Real(_) => {
                    return Err(rusqlite::Error::IntegralValueOutOfRange(column, 0));
                }
            })
        });
        rows.push(Row(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(rows)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

pub(super) fn is_conflict(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

pub(super) fn classify(error: rusqlite::Error) -> Error {
    if is_conflict(&error) {
        Error::Conflict
    } else {
        Error::Unavailable(Box::new(error))
    }
}
