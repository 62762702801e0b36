//! Tables as comma-separated values (RFC 4180), for those who ask with `format=csv` or
//! `Accept: text/csv`.

use crate::error::{ApiError, ApiResult};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

/// Whether the caller wants a table.
///
/// # Errors
/// 400 for a format that there is not.
pub(super) fn is_wanted(format: Option<&str>, headers: &HeaderMap) -> ApiResult<bool> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(ApiError::parameter("format", "`format` must be json or csv")),
        None => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Ok(accept.split(',').any(|kind| kind.trim().split(';').next() == Some("text/csv")))
        }
    }
}

/// That the figures lack what waits in the spool: for tables, which have no other place for it.
const RECORDS_WAIT: &str = "x-tokenrouter-records-waiting";

/// A table of the request log. `records_wait`: what was recorded of late is not in it yet.
pub(super) fn report(columns: &[&str], rows: &[Value], records_wait: bool) -> Response {
    let mut answer = table(columns, rows);
    if records_wait {
        answer.headers_mut().insert(RECORDS_WAIT, HeaderValue::from_static("true"));
    }
    answer
}

/// The columns of each row; what a row does not have is an empty cell.
fn table(columns: &[&str], rows: &[Value]) -> Response {
    let mut text = columns.join(",");
    text.push_str("\r\n");
    for row in rows {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            cell(&mut text, &row[*column]);
        }
        text.push_str("\r\n");
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))], text).into_response()
}

fn cell(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(word) => {
            let formula = may_be_formula(word);
            if formula || word.contains([',', '"', '\n', '\r']) {
                let guard = if formula { "'" } else { "" };
                text.push_str(&format!("\"{guard}{}\"", word.replace('"', "\"\"")));
            } else {
                text.push_str(word);
            }
        }
        other => text.push_str(&other.to_string()),
    }
}

/// Whether a spreadsheet may run the word as a formula; some words here are the caller's. It may drop what
/// cannot be seen before the sign, and take the full-width signs for the plain ones.
fn may_be_formula(word: &str) -> bool {
    let unseen = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
    word.starts_with(['\t', '\r', '\n'])
        || word.trim_start_matches(unseen).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_never_a_formula() {
        for (value, wanted) in [
            (json!(null), ""),
            (json!(12), "12"),
            (json!("plain"), "plain"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"hi\""), "\"say \"\"hi\"\"\""),
            (json!("=1+1"), "\"'=1+1\""),
            (json!(" =1+1"), "\"' =1+1\""),
            (json!("\n=1+1"), "\"'\n=1+1\""),
            (json!("\nplain"), "\"'\nplain\""),
            (json!("\u{feff}\u{a0}@SUM(1)"), "\"'\u{feff}\u{a0}@SUM(1)\""),
            (json!("＝1+1"), "\"'＝1+1\""),
            (json!("＋1"), "\"'＋1\""),
            (json!("－1"), "\"'－1\""),
            (json!("＠SUM(1)"), "\"'＠SUM(1)\""),
            (json!("1=1"), "1=1"),
        ] {
            let mut text = String::new();
            cell(&mut text, &value);
            assert_eq!(text, wanted);
        }
    }
}
