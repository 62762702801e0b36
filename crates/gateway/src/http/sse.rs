//! Writing server-sent events.

use serde::Serialize;

/// Appends one event. JSON has no raw line breaks, so its data is one line.
pub(crate) fn write(bytes: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    bytes.extend_from_slice(b"event: ");
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b"\ndata: ");
    if let Err(error) = serde_json::to_writer(&mut *bytes, data) {
        tracing::error!(%error, "an event could not be written");
    }
    bytes.extend_from_slice(b"\n\n");
}
