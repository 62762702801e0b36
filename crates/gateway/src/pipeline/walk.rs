//! Every text in a JSON value, for what is only passed through and so has no fields of ours.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use tokenrouter_firewall::Blocked;
use tokenrouter_protocol::Object;

/// How a text stands where it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It says something, and another text may stand in its stead.
    Text,
    /// It names something: what is masked there cannot go on.
    Name,
}

pub(super) type Visit<'a> = dyn FnMut(Place, &mut String) -> Result<(), Blocked> + 'a;

/// Ids and the like are not text: they are made by machines, and digits in them are no card's.
fn is_machine_made(name: &str, value: &Value) -> bool {
    const NAMES: [&str; 5] = ["id", "type", "call_id", "item_id", "encrypted_content"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    match value.as_str() {
        Some(text) if name == "encrypted_content" => !text.contains(char::is_whitespace),
        Some(text) => NAMES.contains(&name) && text.len() <= 128 && text.chars().all(plain),
        None => false,
    }
}

/// All strings, and the names of all fields.
pub(super) fn object(object: &mut Object, visit: &mut Visit<'_>) -> Result<(), Blocked> {
    for name in object.keys() {
        visit(Place::Name, &mut name.clone())?;
    }
    object
        .iter_mut()
        .filter(|(name, value)| !is_machine_made(name, value))
        .try_for_each(|(_, value)| self::value(value, visit))
}

pub(super) fn value(value: &mut Value, visit: &mut Visit<'_>) -> Result<(), Blocked> {
    match value {
        Value::String(text) => visit(Place::Text, text),
        Value::Array(values) => values.iter_mut().try_for_each(|value| self::value(value, visit)),
        Value::Object(object) => self::object(object, visit),
        _ => Ok(()),
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Bytes of base64 as anybody writes it: with or without padding, with line breaks, in either alphabet. With
/// blanks it is words.
fn decode(encoded: &str) -> Option<Vec<u8>> {
    if encoded.trim().contains([' ', '\t']) {
        return None;
    }
    let compact: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT)
        .decode(&compact)
        .or_else(|_| GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT).decode(&compact))
        .ok()
}

/// A picture, a recording, a PDF, an archive: there is no text to look for.
fn is_binary(bytes: &[u8]) -> bool {
    const MAGIC: [&[u8]; 10] =
        [b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"PK\x03\x04", b"\x1f\x8b", b"OggS", b"ID3", b"fLaC"];
    MAGIC.iter().any(|magic| bytes.starts_with(magic)) || bytes.get(4..8) == Some(b"ftyp")
}

fn text_of(bytes: &[u8]) -> Option<String> {
    let utf16 = |read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, ..] => Some(utf16(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => Some(utf16(u16::from_be_bytes)),
        _ if is_binary(bytes) => None,
        // Not UTF-8: byte for byte, as Latin-1 has it, in which every byte is a letter.
        _ => {
            Some(String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().copied().map(char::from).collect()))
        }
    }
}

/// The text within a file's data or a `data:` URL, screened; what holds no text is left as it is.
pub(super) fn data(data: &mut String, visit: &mut Visit<'_>) -> Result<(), Blocked> {
    let (head, body) = match data.split_once(',') {
        Some((head, body)) if head.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) => {
            (format!("{head},"), body.to_owned())
        }
        _ => (String::new(), data.clone()),
    };
    let encoded = head.is_empty() || head.to_ascii_lowercase().contains(";base64");
    let Some(bytes) = encoded.then(|| decode(&body)).flatten() else {
        // No base64: an address, or text as it stands.
        return visit(Place::Text, data);
    };
    let Some(mut text) = text_of(&bytes) else { return Ok(()) };
    let before = text.clone();
    visit(Place::Text, &mut text)?;
    if text != before {
        *data = head + &base64::engine::general_purpose::STANDARD.encode(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(run: impl FnOnce(&mut Visit<'_>) -> Result<(), Blocked>) -> Vec<String> {
        let mut texts = Vec::new();
        run(&mut |_, text| {
            texts.push(text.clone());
            Ok(())
        })
        .unwrap();
        texts
    }

    #[test]
    fn every_string_and_every_name_is_seen() {
        let mut value =
            json!({"id": "item_1", "x": {"y": ["a", 1, {"z": "b"}]}, "type": "two words", "call_id": {"q": "c"}});
        let mut texts = seen(|visit| self::value(&mut value, visit));
        texts.sort_unstable();
        assert_eq!(texts, ["a", "b", "c", "call_id", "id", "q", "two words", "type", "x", "y", "z"]);
    }

    #[test]
    fn a_files_text_is_seen_however_it_is_written() {
        let standard = base64::engine::general_purpose::STANDARD;
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("SECRET".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for data in [
            "U0VDUkVU".to_owned(),
            "U0VD\nUkVU".to_owned(),
            "U0VDUkVUIQ".to_owned(),
            "data:text/plain;base64,U0VDUkVU".to_owned(),
            "DATA:text/plain,SECRET".to_owned(),
            "SECRET in plain words".to_owned(),
            standard.encode(utf16),
            standard.encode(b"SECRET caf\xe9"),
        ] {
            let texts = seen(|visit| self::data(&mut data.clone(), visit));
            assert!(texts.len() == 1 && texts[0].contains("SECRET"), "{data}: {texts:?}");
        }
        assert!(seen(|visit| self::data(&mut standard.encode(b"%PDF-1.7 SECRET"), visit)).is_empty());
    }
}
