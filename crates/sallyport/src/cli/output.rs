//! Data to standard output, everything else to standard error.

use std::io::{self, Write as _};

use serde::Serialize;

/// Prints text as data, ending with a line break.
pub(super) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints one JSON document as data, indented.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    text(&serde_json::to_string_pretty(value)?)
}

/// Prints one JSON document as one line of data.
pub(super) fn json_line(value: &impl Serialize) -> io::Result<()> {
    text(&serde_json::to_string(value)?)
}

/// Says something to the person.
pub(super) fn note(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// Rows under headings, in columns as wide as they need to be.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        headings.get(column).map_or(0, |h| h.chars().count()).max(widest)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.chars().count()) + 2,
            ));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut out = line(&mut headings.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// A time as people and machines read it (RFC 3339, UTC, to the second).
pub(super) fn when(at: sallyport_core::Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.as_secs())
        .ok()
        .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blanks_at_the_end() {
        let rows = vec![
            vec!["é".to_owned(), "b".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(table(&["A", "NAME"], &rows), "A     NAME\né     b\nlong\n");
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(
            when(sallyport_core::Timestamp::from_secs(0)),
            "1970-01-01T00:00:00Z"
        );
    }
}
