//! A record as a line of the spool: a checksum, a blank, JSON.
//!
//! The spool outlives a change of version: a field that is added needs a default.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::captures::Capture;
use crate::conversations::{ConversationItem, ConversationTurn};
use crate::error::{Result, StoreError};
use crate::ledger::{LedgerEntry, RequestRecord, StoredResponse};

/// Hexadecimal digits.
const CHECKSUM: usize = 16;

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    entry: LedgerEntry,
    response: Option<WrittenResponse>,
    turn: Option<WrittenTurn>,
    /// Input and output.
    #[serde(default)]
    capture: Option<(String, Option<String>)>,
    /// Each firewall rule's id, and its matches.
    #[serde(default)]
    firewall_hits: Vec<(i64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WrittenResponse {
    id: String,
    workspace_id: i64,
    created_at_ms: i64,
    previous_response_id: Option<String>,
    conversation_id: Option<String>,
    body: String,
    input: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenTurn {
    conversation_id: String,
    /// Each item's id and body.
    items: Vec<(String, String)>,
}

/// Bodies are JSON, and so are text.
fn text(bytes: &Bytes) -> Result<String> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| StoreError::Internal { reason: "a record is not text".into() })
}

impl Record {
    fn of(record: &RequestRecord) -> Result<Self> {
        let response = record.response.as_ref().map(|response| {
            Ok::<_, StoreError>(WrittenResponse {
                id: response.id.clone(),
                workspace_id: response.workspace_id,
                created_at_ms: response.created_at_ms,
                previous_response_id: response.previous_response_id.clone(),
                conversation_id: response.conversation_id.clone(),
                body: text(&response.body)?,
                input: text(&response.input)?,
            })
        });
        let turn = record.turn.as_ref().map(|turn| {
            let items = turn.items.iter().map(|item| Ok((item.id.clone(), text(&item.body)?)));
            Ok::<_, StoreError>(WrittenTurn {
                conversation_id: turn.conversation_id.clone(),
                items: items.collect::<Result<_>>()?,
            })
        });
        let capture = record.capture.as_ref().map(|capture| {
            Ok::<_, StoreError>((text(&capture.input)?, capture.output.as_ref().map(text).transpose()?))
        });
        Ok(Self {
            entry: record.entry.clone(),
            response: response.transpose()?,
            turn: turn.transpose()?,
            capture: capture.transpose()?,
            firewall_hits: record.firewall_hits.clone(),
        })
    }
}

impl From<Record> for RequestRecord {
    fn from(record: Record) -> Self {
        let response = record.response.map(|response| StoredResponse {
            id: response.id,
            workspace_id: response.workspace_id,
            created_at_ms: response.created_at_ms,
            previous_response_id: response.previous_response_id,
            conversation_id: response.conversation_id,
            body: response.body.into(),
            input: response.input.into(),
        });
        let turn = record.turn.map(|turn| ConversationTurn {
            conversation_id: turn.conversation_id,
            items: turn.items.into_iter().map(|(id, body)| ConversationItem { id, body: body.into() }).collect(),
        });
        let capture = record.capture;
        let capture = capture.map(|(input, output)| Capture { input: input.into(), output: output.map(Bytes::from) });
        Self { entry: record.entry, response, turn, capture, firewall_hits: record.firewall_hits }
    }
}

fn checksum(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..CHECKSUM].to_owned()
}

/// Appends the record's line.
pub(super) fn write(lines: &mut Vec<u8>, record: &RequestRecord) -> Result<()> {
    let json = serde_json::to_vec(&Record::of(record)?)
        .map_err(|_| StoreError::Internal { reason: "a record cannot be written as JSON".into() })?;
    lines.extend_from_slice(checksum(&json).as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(&json);
    lines.push(b'\n');
    Ok(())
}

/// None if the line is damaged.
pub(super) fn read(line: &[u8]) -> Option<RequestRecord> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    let record: Record = (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())??;
    Some(record.into())
}
