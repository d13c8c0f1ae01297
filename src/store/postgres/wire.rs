//! Values on their way to the server and back.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::change::{Column, Many, Row, Rows, Statement, Value};

pub(super) async fn execute(
    client: &Client,
    statement: &Statement,
) -> Result<Rows, tokio_postgres::Error> {
    rows(client, statement.sql, &statement.params).await
}

/// Runs one statement.
pub(in crate::store) async fn rows(
    client: &Client,
    sql: &str,
    params: &[Value],
) -> Result<Rows, tokio_postgres::Error> {
    let params = params.iter().map(|value| (value, value.sql_type()));
    let mut answer = pin!(client.query_typed_raw(sql, params).await?);
    let mut rows = Vec::new();
    while let Some(answered) = answer.try_next().await? {
        rows.push(row(&answered)?);
    }
    if rows.is_empty() && answer.rows_affected().is_some_and(|changed| changed > 0) {
        rows.push(Row(Vec::new()));
    }
    Ok(rows)
}

/// Runs one statement for all rows of parameters, which become one array for each column.
pub(super) async fn execute_many(
    client: &Client,
    many: &'static Many,
    rows: &[&Vec<Value>],
) -> Result<Rows, tokio_postgres::Error> {
    let arrays: Vec<(Box<dyn ToSql + Sync + Send + '_>, Type)> = many
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| array(*column, rows.iter().map(move |row| &row[at])))
        .collect();
    let params: Vec<_> = arrays
        .iter()
        .map(|(array, kind)| (&**array as &(dyn ToSql + Sync), kind.clone()))
        .collect();
    let rows = client.query_typed(many.sql, &params).await?;
    rows.iter().map(row).collect()
}

/// Values as one array; what does not belong there is null.
fn array<'a>(
    column: Column,
    values: impl Iterator<Item = &'a Value>,
) -> (Box<dyn ToSql + Sync + Send + 'a>, Type) {
    match column {
        Column::Bytes => {
            let array = values.map(|value| match value {
                Value::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::BYTEA_ARRAY)
        }
        Column::Int => {
            let array = values.map(|value| match value {
                Value::Int(int) => Some(*int),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::INT8_ARRAY)
        }
        Column::Text => {
            let array = values.map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::TEXT_ARRAY)
        }
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let values = row.columns().iter().enumerate().map(|(at, column)| {
        Ok(match *column.type_() {
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(at)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(at)?.map(i64::from).into(),
            Type::INT8 => row.try_get::<_, Option<i64>>(at)?.into(),
            _ => row.try_get::<_, Option<String>>(at)?.into(),
        })
    });
    values.collect::<Result<_, _>>().map(Row)
}

impl Value {
    fn sql_type(&self) -> Type {
        match self {
            Self::Bytes(_) => Type::BYTEA,
            Self::Int(_) => Type::INT8,
            // The server finds out from where it stands.
            Self::Null => Type::UNKNOWN,
            Self::Text(_) => Type::TEXT,
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bytes(bytes) => bytes.as_slice().to_sql(ty, out),
            Self::Int(int) => int.to_sql(ty, out),
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) => text.as_str().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
