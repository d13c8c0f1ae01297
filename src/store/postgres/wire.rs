//! Values on their way to the server and back.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, RowStream, Statement as Prepared};

use super::errors::is_of_preparing;
use super::session::Session;
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
    collect(client.query_typed_raw(sql, params).await?).await
}

/// Runs one statement that runs often, prepared where that can be.
pub(super) async fn look_up(
    session: &Session,
    statement: &Statement,
) -> Result<Rows, tokio_postgres::Error> {
    let types: Vec<_> = statement.params.iter().map(Value::sql_type).collect();
    if let Some(prepared) = session.prepare(statement.sql, &types).await? {
        match query(&session.client, &prepared, &statement.params).await {
            Err(error) if is_of_preparing(&error) => session.forget(),
            answer => return answer,
        }
    }
    execute(&session.client, statement).await
}

async fn query(
    client: &Client,
    prepared: &Prepared,
    params: &[Value],
) -> Result<Rows, tokio_postgres::Error> {
    collect(client.query_raw(prepared, params).await?).await
}

async fn collect(answer: RowStream) -> Result<Rows, tokio_postgres::Error> {
    let mut answer = pin!(answer);
    let mut rows = Vec::new();
    while let Some(answered) = answer.try_next().await? {
        rows.push(row(&answered)?);
    }
    if rows.is_empty() && answer.rows_affected().is_some_and(|changed| changed > 0) {
        rows.push(Row(Vec::new()));
    }
    Ok(rows)
}

/// The types of the parameters of `many`.
pub(super) fn types_of(many: &Many) -> Vec<Type> {
    let of = |at: usize| match many.columns[at] {
        Column::Bytes => Type::BYTEA_ARRAY,
        Column::Int => Type::INT8_ARRAY,
        Column::Text => Type::TEXT_ARRAY,
    };
    let each = many.differs.iter().map(|&at| of(at));
    let places = std::iter::once(Type::INT8_ARRAY);
    each.chain(places).chain(many.shared().map(of)).collect()
}

/// Runs one statement for all rows of parameters, as [`Many`] says.
pub(super) async fn execute_many(
    client: &Client,
    many: &'static Many,
    prepared: Option<Prepared>,
    rows: &[&Vec<Value>],
) -> Result<Rows, tokio_postgres::Error> {
    let (kinds, places) = kinds_of(many, rows);
    let mut arrays: Vec<Box<dyn ToSql + Sync + Send + '_>> = Vec::new();
    arrays.extend(many.differs.iter().map(|&at| column(many, rows, at)));
    arrays.push(Box::new(places));
    arrays.extend(many.shared().map(|at| column(many, &kinds, at)));
    let arrays = arrays.iter().map(|array| &**array as &(dyn ToSql + Sync));
    let answer = if let Some(prepared) = prepared {
        client.query_raw(&prepared, arrays).await?
    } else {
        let params = arrays.zip(types_of(many));
        client.query_typed_raw(many.sql, params).await?
    };
    collect(answer).await
}

/// How many kinds are looked at before a row is taken for one of a new kind.
const ALIKE: usize = 8;

/// One row of each kind, and for each row the place of its kind, which `PostgreSQL` counts from 1.
fn kinds_of<'a>(many: &Many, rows: &[&'a Vec<Value>]) -> (Vec<&'a Vec<Value>>, Vec<i64>) {
    let mut kinds: Vec<&Vec<Value>> = Vec::new();
    let place = |row: &&'a Vec<Value>| {
        let alike = |kind: &&Vec<Value>| many.shared().all(|at| kind[at] == row[at]);
        let first = kinds.len().saturating_sub(ALIKE);
        let known = kinds[first..].iter().position(alike);
        let place = known.map_or(kinds.len(), |at| first + at);
        if known.is_none() {
            kinds.push(row);
        }
        i64::try_from(place + 1).expect("a group is not that large")
    };
    let places = rows.iter().map(place).collect();
    (kinds, places)
}

/// One column of `rows` as an array; what does not belong there is null.
fn column<'a>(
    many: &Many,
    rows: &[&'a Vec<Value>],
    at: usize,
) -> Box<dyn ToSql + Sync + Send + 'a> {
    let values = rows.iter().map(|row| &row[at]);
    match many.columns[at] {
        Column::Bytes => {
            let array = values.map(|value| match value {
                Value::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            Box::new(array.collect::<Vec<_>>())
        }
        Column::Int => {
            let array = values.map(|value| match value {
                Value::Int(int) => Some(*int),
                _ => None,
            });
            Box::new(array.collect::<Vec<_>>())
        }
        Column::Text => {
            let array = values.map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            });
            Box::new(array.collect::<Vec<_>>())
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
