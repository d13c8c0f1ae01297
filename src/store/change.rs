//! Changes as data: what a request wants of the database, before any engine sees it.

use super::Error;

/// What a parameter or a column may be; every type that both engines share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Int(i64),
    Null,
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One statement with its parameters.
///
/// The text serves both engines: parameters are `$1…$n` and *first appear in ascending order*
/// (`SQLite` numbers them by first appearance), with integers, texts, bytes and null only.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: &'static str,
    pub(super) params: Vec<Value>,
    /// Whether an empty answer undoes the whole change.
    pub(super) must: bool,
    /// The same for many at once.
    pub(super) many: Option<&'static Many>,
}

/// What runs most of the time, as each engine does it best.
#[derive(Debug)]
pub(super) struct Many {
    /// The statement by itself for `SQLite`, where no violation undoes what went before: otherwise
    /// it would note before each row how to do that.
    pub(super) sqlite: &'static str,
    /// The statement for many rows at once, for an engine that is far away: there a statement by
    /// itself costs more than what it does. It answers the first parameter of each row for which the
    /// statement by itself would have changed something.
    ///
    /// It takes an array for each parameter that [`Many::differs`], with a value for each row; one of
    /// numbers, which say for each row where the rest of it is (the first place is 1); and an array
    /// for each other parameter, with a value for each kind of row that there is.
    pub(super) sql: &'static str,
    /// What each parameter is, null aside.
    pub(super) columns: &'static [Column],
    /// The parameters, counted from 0, that are another in each row. The others are mostly the same in
    /// all, and to make rows of an array costs `PostgreSQL` a third of a microsecond for each value.
    pub(super) differs: &'static [usize],
}

impl Many {
    /// The columns that are the same in many rows.
    pub(super) fn shared(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.columns.len()).filter(|at| !self.differs.contains(at))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Bytes,
    Int,
    Text,
}

impl Statement {
    /// `params` in the order of their numbers.
    pub(super) fn new(sql: &'static str, params: Vec<Value>) -> Self {
        Self {
            sql,
            params,
            must: false,
            many: None,
        }
    }
}

/// What one request wants to change: applied whole, or not at all.
///
/// The first statement carries every guard; the later ones are written to do nothing if the
/// first did nothing. Where that cannot be, as in a list of invites, each statement that
/// [`Change::must`] succeed undoes the whole when it does nothing, and the answers end before it.
/// So a refusal is an empty or a short answer, never an error.
#[derive(Debug, Clone, Default)]
pub(super) struct Change(pub(super) Vec<Statement>);

impl Change {
    /// A change that does nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a statement at the end.
    #[must_use]
    pub(super) fn then(mut self, sql: &'static str, params: Vec<Value>) -> Self {
        self.0.push(Statement::new(sql, params));
        self
    }

    /// Adds a statement at the end; if it answers no row, nothing of the change is done.
    #[must_use]
    pub(super) fn must(mut self, sql: &'static str, params: Vec<Value>) -> Self {
        self.0.push(Statement {
            must: true,
            ..Statement::new(sql, params)
        });
        self
    }

    /// [`Change::must`], for a statement that there is for [`Many`], too.
    #[must_use]
    pub(super) fn must_each(
        mut self,
        sql: &'static str,
        many: &'static Many,
        params: Vec<Value>,
    ) -> Self {
        self.0.push(Statement {
            must: true,
            many: Some(many),
            ..Statement::new(sql, params)
        });
        self
    }

    /// The statement, if it is the only one and there is one for many like it.
    pub(super) fn one_of_many(&self) -> Option<(&Statement, &'static Many)> {
        match self.0.as_slice() {
            [statement] => statement.many.map(|many| (statement, many)),
            _ => None,
        }
    }

    /// Whether something may have been done already when a statement undoes it.
    pub(super) fn may_be_undone(&self) -> bool {
        self.0.iter().skip(1).any(|statement| statement.must)
    }
}

/// One row of an answer.
#[derive(Debug, Clone)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    /// The integer in `column`; an error if it is something else.
    pub(super) fn int(&self, column: usize) -> Result<i64, Error> {
        self.maybe_int(column)?.ok_or_else(|| self.odd(column))
    }

    /// The integer in `column`, or `None` for null.
    pub(super) fn maybe_int(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.odd(column)),
        }
    }

    /// The text in `column`; an error if it is something else.
    pub(super) fn text(&self, column: usize) -> Result<&str, Error> {
        self.maybe_text(column)?.ok_or_else(|| self.odd(column))
    }

    /// The text in `column`, or `None` for null.
    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.odd(column)),
        }
    }

    /// The bytes in `column`; an error if it is something else.
    pub(super) fn bytes(&self, column: usize) -> Result<&[u8], Error> {
        match self.0.get(column) {
            Some(Value::Bytes(value)) => Ok(value),
            _ => Err(self.odd(column)),
        }
    }

    /// The bytes in `column`, of which there must be exactly `N`.
    pub(super) fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], Error> {
        self.bytes(column)?.try_into().map_err(|_| self.odd(column))
    }

    /// The text in `column` as one of our own types.
    pub(super) fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| self.odd(column))
    }

    /// The text in `column` as one of our own types, or `None` for null.
    pub(super) fn maybe_parsed<T: std::str::FromStr>(
        &self,
        column: usize,
    ) -> Result<Option<T>, Error> {
        match self.maybe_text(column)? {
            Some(_) => self.parsed(column).map(Some),
            None => Ok(None),
        }
    }

    fn odd(&self, column: usize) -> Error {
        // The content may be private, so only its place is named.
        Error::Unavailable(format!("column {column} of {} holds an odd value", self.0.len()).into())
    }
}

/// The rows that one statement answered. One without `returning` answers an empty row if it changed
/// anything, and is the quicker one: `SQLite` keeps what is returned in a table of its own.
pub(super) type Rows = Vec<Row>;
