use super::*;
use crate::captures::Capture;
use crate::conversations::{ConversationItem, ConversationTurn};
use crate::ledger::StoredResponse;
use crate::sqlite::{connection, migrations};
use tempfile::TempDir;

fn job(request_id: &str, response: Option<&str>) -> RequestRecord {
    let entry = LedgerEntry {
        request_id: request_id.into(),
        workspace_id: 1,
        key_id: 1,
        response_id: response.map(str::to_owned),
        created_at_ms: 1,
        latency_ms: 1,
        provider: Some("openai".into()),
        model: None,
        requested_model: None,
        mode: "balance".into(),
        task: None,
        stream: false,
        outcome: "completed".into(),
        http_status: 200,
        error_code: None,
        input_tokens: 3,
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 5,
        reasoning_tokens: 0,
        cost_nano_usd: Some(7),
        usage_is_estimate: true,
        charged_tokens: 8,
        charged_nano_usd: 7,
        decision_json: "{}".into(),
    };
    let response = response.map(|id| StoredResponse {
        id: id.into(),
        workspace_id: 1,
        created_at_ms: 1,
        previous_response_id: None,
        conversation_id: None,
        body: "{\"text\": \"line\\nfeed, é\"}".into(),
        input: "[]".into(),
    });
    let items = vec![ConversationItem { id: format!("item_{request_id}"), body: "{}".into() }];
    let turn = Some(ConversationTurn { conversation_id: "none".into(), items });
    let capture = Some(Capture { input: "[]".into(), output: None });
    RequestRecord { entry, response, turn, capture, firewall_hits: vec![(1, 2)] }
}

fn open(folder: &TempDir, most_bytes: u64) -> (Connection, Spool) {
    let path = folder.path().join("t.db");
    let mut connection = connection::open_writer(Some(&path)).unwrap();
    migrations::migrate(&mut connection).unwrap();
    (connection, Spool::new(&path, most_bytes, Arc::default()))
}

fn count(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_waits_is_brought_in_once_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1 << 20);
    spool.activate();
    spool.append([job("a", Some("resp_a")), job("b", None)].iter()).unwrap();
    let lines = std::fs::read(&spool.path).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 2);
    assert!(!spool.is_active() && !spool.has_records());
    // As it is when the process dies between the commit and the emptying of the file.
    std::fs::write(&spool.path, lines).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 0);
    assert_eq!((count(&connection, "ledger"), count(&connection, "responses")), (2, 1));
}

#[test]
fn a_line_that_was_cut_off_is_nobodys_and_a_damaged_one_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1 << 20);
    spool.append([job("a", None), job("b", None), job("c", None)].iter()).unwrap();
    let mut lines = std::fs::read(&spool.path).unwrap();
    let second = lines.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    lines[second + 40] ^= 1;
    lines.truncate(lines.len() - 5);
    std::fs::write(&spool.path, lines).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 1);
    let aside = std::fs::read_to_string(beside(&spool.path, ".rejected")).unwrap();
    assert_eq!(aside.lines().count(), 1);
}

#[test]
fn a_line_that_was_cut_off_does_not_spoil_what_is_appended_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut before) = open(&folder, 1 << 20);
    before.append([job("a", None), job("b", None)].iter()).unwrap();
    let path = before.path.clone();
    drop(before);
    let lines = std::fs::read(&path).unwrap();
    std::fs::write(&path, &lines[..lines.len() - 5]).unwrap();
    let mut spool = Spool::new(&folder.path().join("t.db"), 1 << 20, Arc::default());
    spool.append([job("c", None), job("d", None)].iter()).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 3);
}

#[test]
fn what_the_database_will_never_take_does_not_hold_the_rest_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1 << 20);
    connection
        .execute_batch(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON responses WHEN NEW.id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .unwrap();
    spool.append([job("a", Some("good")), job("b", Some("bad")), job("c", None)].iter()).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 3);
    // What it cost is known all the same.
    assert_eq!((count(&connection, "ledger"), count(&connection, "responses")), (3, 1));
    assert!(std::fs::read_to_string(beside(&spool.path, ".rejected")).unwrap().contains("\"bad\""));
}

#[test]
fn it_takes_no_more_than_it_may_and_no_half_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1_000);
    spool.append([job("a", None)].iter()).unwrap();
    assert!(spool.append([job("b", None), job("c", None)].iter()).is_err());
    assert!(spool.state.is_full());
    assert_eq!(spool.replay(&mut connection).unwrap(), 1);
    assert!(!spool.state.is_full());
}

#[test]
fn two_processes_do_not_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1 << 20);
    let (_, mut other) = open(&folder, 1 << 20);
    spool.append([job("a", None)].iter()).unwrap();
    assert!(other.append([job("b", None)].iter()).is_err());
    assert!(other.replay(&mut connection).is_err());
    assert_eq!(spool.replay(&mut connection).unwrap(), 1);
    other.append([job("b", None)].iter()).unwrap();
}

#[test]
fn what_is_put_aside_is_there_once_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, mut spool) = open(&folder, 1 << 20);
    let refuse = |connection: &Connection, table: &str| {
        let trigger = format!(
            "CREATE TEMP TRIGGER refuse_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        );
        connection.execute_batch(&trigger).unwrap();
    };
    refuse(&connection, "responses");
    spool.append([job("a", Some("resp_a")), job("b", Some("resp_b"))].iter()).unwrap();
    let lines = std::fs::read(&spool.path).unwrap();
    let aside = beside(&spool.path, ".rejected");
    // As it is when the process dies before the commit, in the middle of the second line.
    let first = lines.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(&aside, &lines[..first + 20]).unwrap();
    assert_eq!(spool.replay(&mut connection).unwrap(), 2);
    let put_aside = std::fs::read(&aside).unwrap();
    let whole = put_aside.split_inclusive(|byte| *byte == b'\n').filter_map(line::read);
    assert_eq!(whole.map(|record| record.entry.request_id).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(put_aside.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 3);
}
