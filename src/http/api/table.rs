//! A table of invites, as spreadsheets and people write them: one JSON object of each row.

use serde_json::{Map, Value, json};

use super::bulk::{check_count, item};
use super::create::CreateInvite;
use super::form;
use crate::error::Error;

/// What a table asks for.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The rows that have something in them, and where each stands, from 1.
    pub(super) rows: Vec<(usize, Map<String, Value>)>,
    pub(super) empty_rows: usize,
}

/// Reads CSV whose first line names the fields, with commas, semicolons or tabs in between.
pub(super) fn read(text: &str) -> Result<Table, Error> {
    let wrong = |error: csv::Error| Error::invalid("body", format!("not CSV: {error}"));
    let (separator, text) = separator(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns: Vec<String> = reader.headers().map_err(wrong)?.iter().map(field).collect();
    check_columns(&columns)?;
    let mut table = Table::default();
    for (at, row) in reader.records().enumerate() {
        let row = row.map_err(wrong)?;
        if row.iter().all(str::is_empty) {
            table.empty_rows += 1;
            continue;
        }
        check_count(table.rows.len() + 1)?;
        let filled = columns.iter().zip(&row);
        let fields = filled
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| Ok((column.clone(), value(column, cell)?)))
            .collect::<Result<_, Error>>()
            .map_err(item(at + 1))?;
        table.rows.push((at + 1, fields));
    }
    check_count(table.rows.len())?;
    Ok(table)
}

/// What stands between cells, and the text without the line in which Excel may say so. No name of a
/// field has one of these in it, so the first line tells.
fn separator(text: &str) -> (u8, &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let said = first.trim_end_matches('\r').strip_prefix("sep=");
    if let Some(&[separator @ (b',' | b';' | b'\t')]) = said.map(str::as_bytes) {
        return (separator, rest);
    }
    let found = [b';', b'\t']
        .into_iter()
        .find(|&b| first.as_bytes().contains(&b));
    (found.unwrap_or(b','), text)
}

/// `max_uses` of ` Max uses`.
fn field(heading: &str) -> String {
    let words = heading.split(|c: char| c.is_whitespace() || c == '-' || c == '_');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

fn check_columns(columns: &[String]) -> Result<(), Error> {
    for (at, column) in columns.iter().enumerate() {
        // Spreadsheets add some; whatever stands in them is refused.
        if column.is_empty() {
            continue;
        }
        // Every field that exists may be null.
        form::read_value::<CreateInvite>(json!({ column: null }))?;
        if columns[..at].contains(column) {
            let reason = format!("two columns are {column:?}");
            return Err(Error::invalid("body", reason));
        }
    }
    Ok(())
}

/// The cell as JSON has it; what does not fit stays a text, and is refused as such.
fn value(column: &str, cell: &str) -> Result<Value, Error> {
    let as_json = || serde_json::from_str(cell).unwrap_or_else(|_| json!(cell));
    Ok(match column {
        "" => {
            let reason = format!("{cell:?} stands in a column whose first line has no name");
            return Err(Error::invalid("body", reason));
        }
        "allow_registration" => match cell.to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" | "ja" | "wahr" => json!(true),
            "false" | "no" | "n" | "0" | "nein" | "falsch" => json!(false),
            _ => {
                let reason = format!("{cell:?} is neither true nor false");
                return Err(Error::invalid("allow_registration", reason));
            }
        },
        "kind" => json!(cell.to_lowercase()),
        "max_uses" if cell.eq_ignore_ascii_case("unlimited") => Value::Null,
        "extra" | "max_uses" => as_json(),
        "groups" | "roles" => {
            let names = cell.split(|c: char| c == ';' || c.is_whitespace());
            names.filter(|name| !name.is_empty()).collect()
        }
        _ => json!(cell),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_the_fields_that_they_are() {
        for (column, cell, expected) in [
            ("max_uses", "5", json!(5)),
            ("max_uses", "Unlimited", json!(null)),
            ("max_uses", "five", json!("five")),
            ("roles", "a; b  c", json!(["a", "b", "c"])),
            ("allow_registration", "true", json!(true)),
            ("allow_registration", "TRUE", json!(true)),
            ("allow_registration", "Ja", json!(true)),
            ("allow_registration", "yes", json!(true)),
            ("allow_registration", "No", json!(false)),
            ("allow_registration", "FALSCH", json!(false)),
            ("kind", "Contact", json!("contact")),
            ("extra", "{\"a\": 1}", json!({"a": 1})),
            ("username", "42", json!("42")),
            ("expires_in", "3600", json!("3600")),
        ] {
            let read = value(column, cell).expect("it fits");
            assert_eq!(read, expected, "{column} {cell}");
        }
    }

    #[test]
    fn tables_are_read_as_programs_write_them() {
        for text in [
            "username,note,max_uses\ntheo,\"a, b\",1\n",
            "username,note,max_uses\r\ntheo,\"a, b\",1\r\n",
            "username,note,max_uses\rtheo,\"a, b\",1\r",
            "Username;Note;Max uses\r\ntheo;a, b;1\r\n",
            "username\tnote\tmax_uses\ntheo\ta, b\t1\n",
            "sep=;\r\nusername;note;max_uses\r\ntheo;a, b;1\r\n",
            "sep=\t\nusername\tnote\tmax_uses\ntheo\ta, b\t1",
            " USERNAME ; Note\t; MAX-USES \n theo ; a, b ; 1 \n",
            "username,note,max_uses,,\ntheo,\"a, b\",1,,\n",
        ] {
            let table = read(text).expect(text);
            let expected = json!({"username": "theo", "note": "a, b", "max_uses": 1});
            let (place, fields) = &table.rows[0];
            assert_eq!((place, json!(fields)), (&1, expected), "{text:?}");
            assert_eq!((table.rows.len(), table.empty_rows), (1, 0), "{text:?}");
        }
    }

    #[test]
    fn rows_with_nothing_in_them_are_counted_and_the_others_keep_their_places() {
        let table = read("username,note\r\n,\r\ntheo,a\r\n , \r\n\"\",\"\"\r\nnora,\r\n,\r\n");
        let table = table.expect("a table");
        let places: Vec<_> = table.rows.iter().map(|(place, _)| *place).collect();
        assert_eq!((places, table.empty_rows), (vec![2, 5], 4));
    }
}
