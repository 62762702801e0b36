//! Images and files: what a `data:` URL holds, and what kind of file this is.
//!
//! Nothing is fetched: a URL is handed on to a provider that fetches it itself, or refused.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Inline data, still in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline<'a> {
    /// Empty if nobody said.
    pub media_type: &'a str,
    pub base64: &'a str,
}

/// The parts of a `data:` URL in base64; `None` for any other URL.
pub(crate) fn data_url(url: &str) -> Option<Inline<'_>> {
    let (head, base64) = strip_scheme(url)?.split_once(',')?;
    let parameters = head.strip_suffix(";base64")?;
    let media_type = parameters.split(';').next().unwrap_or_default().trim();
    let media_type = if media_type.eq_ignore_ascii_case("image/jpg") { "image/jpeg" } else { media_type };
    Some(Inline { media_type, base64 })
}

fn strip_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once(':')?;
    scheme.eq_ignore_ascii_case("data").then_some(rest)
}

/// What kind of file `file_data` is: by its own `data:` URL, its name, or its first bytes.
pub(crate) fn file<'a>(file_data: &'a str, filename: Option<&str>) -> Inline<'a> {
    let inline = data_url(file_data).unwrap_or(Inline { media_type: "", base64: file_data });
    if !inline.media_type.is_empty() && inline.media_type != "application/octet-stream" {
        return inline;
    }
    let extension = filename.and_then(|name| name.rsplit_once('.')).map(|(_, e)| e.to_ascii_lowercase());
    let media_type = match extension.as_deref() {
        // `%PDF` in base64.
        _ if inline.base64.starts_with("JVBER") => "application/pdf",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("json") => "application/json",
        Some(
            "txt" | "md" | "csv" | "tsv" | "html" | "xml" | "yaml" | "yml" | "toml" | "log" | "py" | "rs" | "js" | "ts"
            | "c" | "h" | "cpp" | "java" | "go" | "rb" | "sh" | "sql" | "css" | "tex",
        ) => "text/plain",
        _ => "",
    };
    Inline { media_type, ..inline }
}

/// The text of a file that is one.
pub(crate) fn text(inline: Inline) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let is_text = inline.media_type.starts_with("text/")
        || ["application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml"]
            .contains(&inline.media_type);
    if !is_text {
        return None;
    }
    String::from_utf8(LENIENT.decode(inline.base64.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_taken_apart() {
        assert_eq!(data_url("data:image/png;base64,AAAA"), Some(Inline { media_type: "image/png", base64: "AAAA" }));
        assert_eq!(data_url("DATA:image/jpg;base64,AA"), Some(Inline { media_type: "image/jpeg", base64: "AA" }));
        assert_eq!(
            data_url("data:text/plain;charset=utf-8;base64,AA").map(|inline| inline.media_type),
            Some("text/plain")
        );
        assert_eq!(data_url("data:text/plain,hello"), None);
        assert_eq!(data_url("https://example.com/a.png"), None);
    }

    #[test]
    fn a_file_is_known_by_its_url_its_name_or_its_bytes() {
        assert_eq!(file("data:application/pdf;base64,AA", None).media_type, "application/pdf");
        assert_eq!(file("JVBERi0xLjQK", None).media_type, "application/pdf");
        assert_eq!(file("AA", Some("a.PDF")).media_type, "application/pdf");
        assert_eq!(file("AA", Some("a.bin")).media_type, "");
        assert_eq!(text(file("aGVsbG8", Some("a.txt"))).as_deref(), Some("hello"));
        assert_eq!(text(file("data:text/csv;base64,YSxi", None)).as_deref(), Some("a,b"));
        assert_eq!(text(file("////", Some("a.txt"))), None);
    }
}
