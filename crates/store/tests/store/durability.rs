//! What was acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tokenrouter_store::Store;

use crate::{entry, response, url};

/// Where the child's database is. Set, it makes this test the child.
const CHILD: &str = "TOKENROUTER_STORE_TEST_CHILD";
const TASKS: i64 = 8;
const LINES_BEFORE_THE_KILL: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    if let Ok(url) = std::env::var(CHILD) {
        return write_until_killed(&url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(CHILD, url(&folder))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut take = |line: String| {
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged.push(number.to_owned());
        }
        acknowledged.len()
    };
    while take(lines.next().unwrap().unwrap()) < LINES_BEFORE_THE_KILL {}
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote to the pipe before it died counts too, but for a last line cut short.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    for line in rest.into_iter().filter(|line| line.ends_with('.')) {
        take(line);
    }

    let store = Store::open(&url(&folder)).await.unwrap();
    for number in &acknowledged {
        let number = number.trim_end_matches('.');
        let entry = store.get_request(1, &format!("req_{number}")).await.unwrap();
        assert!(entry.is_some(), "the entry of request {number} is lost");
        let response = store.get_response(1, &format!("resp_{number}")).await.unwrap();
        assert!(response.is_some(), "the response of request {number} is lost");
    }
    // Both or neither.
    let entries = store.count_requests(1).await.unwrap();
    assert_eq!(entries, store.count_responses(1).await.unwrap());
    assert!(entries >= LINES_BEFORE_THE_KILL as u64);
}

/// The child: says each number once its record is acknowledged.
async fn write_until_killed(url: &str) {
    let store = Store::open(url).await.unwrap();
    let ws = store.create_workspace("child", 1).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for number in (task..).step_by(TASKS as usize) {
                let response = response(ws, &format!("resp_{number}"));
                let entry = entry(ws, &format!("req_{number}"), number);
                store.record(entry, Some(response)).await.unwrap();
                // The parent is gone if this fails.
                if writeln!(std::io::stdout(), "acknowledged {number}.").is_err() {
                    std::process::exit(1);
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}
