//! A CSV file for each table, as PostgreSQL's `COPY … WITH (FORMAT csv, HEADER)` writes them: NULL is nothing, an empty
//! text is `""`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use models::convert::to_text;
use models::{Row, TableInfo, schema};
use serde_json::{Map, Value as Json};
use store::Store;

use super::rows;

/// Writes a folder of files.
pub(super) fn write(store: &Store, folder: &Path) -> Result<Json, String> {
    fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut counts = Map::new();
    for table in &schema().tables {
        let path = folder.join(format!("{}.csv", table.name()));
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = BufWriter::new(File::create_new(&path).map_err(failed)?);
        writeln!(file, "{}", header(table)).map_err(failed)?;
        let count =
            rows::each(store, table, &mut |row| file.write_all(line(row).as_bytes()).map_err(failed))?;
        file.flush().map_err(failed)?;
        file.get_ref().sync_all().map_err(failed)?;
        counts.insert(table.name(), count.into());
    }
    Ok(Json::Object(counts))
}

fn header(table: &TableInfo) -> String {
    table.table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(",")
}

/// A row, with its end.
pub(super) fn line(row: &Row) -> String {
    let fields: Vec<String> = row.iter().map(|value| to_text(value).map_or(String::new(), quoted)).collect();
    fields.join(",") + "\n"
}

/// A text in quotes where it must be: one that is empty is no NULL.
fn quoted(text: String) -> String {
    let plain = !text.is_empty() && text != "\\." && !text.contains([',', '"', '\n', '\r']);
    if plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use models::Value;

    use super::*;

    #[test]
    fn null_and_nothing_differ() {
        let row =
            vec![Value::Null, Value::text(""), Value::text("a,\"b\"\n"), Value::Bool(true), Value::Int(-3)];
        assert_eq!(line(&row), ",\"\",\"a,\"\"b\"\"\n\",true,-3\n");
    }
}
