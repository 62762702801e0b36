//! What recording a request costs: wall time and CPU time per record, with 64 tasks that each record
//! and wait, as a gateway under load does.
//!
//! `cargo run --release -p tokenrouter-store --example store_bench -- [RECORDS] [BODY_BYTES] [TASKS]`

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokenrouter_store::{LedgerEntry, Store, StoredResponse};

#[derive(Clone, Copy)]
enum Ids {
    /// As the gateway's are: nothing but random bits.
    Random,
    /// Beginning with the time, so that the newest sort last.
    TimeOrdered,
}

#[derive(Clone, Copy)]
struct Load {
    records: u64,
    body_bytes: usize,
    tasks: u64,
    ids: Ids,
    stored: bool,
    /// Processor time that a task spends between two records, as a gateway does on its request.
    work: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let load = Load {
        records: number(0, 100_000),
        body_bytes: usize::try_from(number(1, 2048))?,
        tasks: number(2, 64),
        ids: Ids::Random,
        stored: true,
        work: Duration::ZERO,
    };
    measure("random ids", load).await?;
    let ordered = Ids::TimeOrdered;
    measure("time-ordered ids", Load { ids: ordered, ..load }).await?;
    let stored = false;
    measure("ledger only", Load { stored, ..load }).await?;
    let (tasks, records) = (1, load.records / 10);
    measure("one task", Load { tasks, records, ..load }).await?;
    for work_us in [150, 300, 600] {
        let work = Duration::from_micros(work_us);
        let name = format!("{work_us} µs of work");
        measure(&name, Load { work, records: load.records / 5, ids: Ids::TimeOrdered, ..load }).await?;
    }
    Ok(())
}

async fn measure(name: &str, load: Load) -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("store-bench-{}", std::process::id()));
    let path = folder.join("tokenrouter.db");
    let store = Store::open(&format!("sqlite:{}", path.display())).await?;
    let workspace = store.create_workspace("bench", 0).await?.workspace_id;

    let turns = turns_within(load.work);
    let (started, cpu_before) = (Instant::now(), cpu_time()?);
    let mut tasks = Vec::new();
    for task in 0..load.tasks {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            for number in (task..load.records).step_by(usize::try_from(load.tasks).unwrap_or(1)) {
                turn(turns);
                let (entry, response) = record(workspace, number, load);
                let queued = Instant::now();
                store.record(entry, response).await?;
                waits.push(queued.elapsed());
            }
            Ok::<_, tokenrouter_store::StoreError>(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let wall = started.elapsed();
    let work = load.work * u32::try_from(load.records)?;
    let cpu = (cpu_time()? - cpu_before).saturating_sub(work);
    waits.sort();

    let per_record = |time: Duration| time.as_secs_f64() * 1e6 / load.records as f64;
    let percentile = |p: usize| waits.get((waits.len() * p / 100).min(waits.len() - 1)).copied();
    println!(
        "{name:>17}: {:>7.0}/s  wall {:>6.2} µs  cpu {:>6.2} µs  p50 {:>7.0?}  p99 {:>7.0?}  max {:>7.0?}  rss {} MB",
        load.records as f64 / wall.as_secs_f64(),
        per_record(wall),
        per_record(cpu),
        percentile(50).unwrap_or_default(),
        percentile(99).unwrap_or_default(),
        waits.last().copied().unwrap_or_default(),
        resident_mb()?,
    );
    store.close().await;
    println!("{:>17}  file {} MB", "", fs::metadata(&path)?.len() >> 20);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn record(workspace_id: i64, number: u64, load: Load) -> (LedgerEntry, Option<StoredResponse>) {
    // A bijection that scatters, for want of a random number generator here.
    let mut scattered = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    scattered = (scattered ^ (scattered >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let id = match load.ids {
        Ids::Random => format!("{scattered:016x}{number:016x}"),
        Ids::TimeOrdered => format!("{number:016x}{scattered:016x}"),
    };
    let created_at_ms = 1_760_000_000_000 + i64::try_from(number).unwrap_or(0);
    let response = load.stored.then(|| StoredResponse {
        id: format!("resp_{id}"),
        workspace_id,
        created_at_ms,
        previous_response_id: None,
        conversation_id: None,
        body: Bytes::from(vec![b'x'; load.body_bytes]),
        input: Bytes::from(vec![b'y'; load.body_bytes / 4]),
    });
    let entry = LedgerEntry {
        request_id: format!("req_{id}"),
        workspace_id,
        key_id: 1,
        response_id: load.stored.then(|| format!("resp_{id}")),
        created_at_ms,
        latency_ms: 12,
        provider: Some("openai".into()),
        model: Some("gpt-4o-mini".into()),
        requested_model: Some("auto".into()),
        mode: "balance".into(),
        task: Some("coding".into()),
        stream: false,
        outcome: "completed".into(),
        http_status: 200,
        error_code: None,
        input_tokens: 120,
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 250,
        reasoning_tokens: 0,
        cost_nano_usd: Some(168_000),
        usage_is_estimate: false,
        charged_tokens: 0,
        charged_nano_usd: 0,
        decision_json: r#"{"attempts":[{"provider":"openai","model":"gpt-4o-mini","outcome":"ok","latency_ms":11}],"routing_rules":[],"firewall":[]}"#.into(),
    };
    (entry, response)
}

/// Spends processor time.
fn turn(turns: u64) {
    (0..turns).for_each(|turn| {
        std::hint::black_box(turn);
    });
}

/// How many turns take so long, if nobody disturbs.
fn turns_within(work: Duration) -> u64 {
    const SAMPLE: u64 = 100_000;
    let fastest = (0..200).map(|_| {
        let started = Instant::now();
        turn(SAMPLE);
        started.elapsed()
    });
    let fastest = fastest.min().unwrap_or_default().as_secs_f64();
    (work.as_secs_f64() / fastest * SAMPLE as f64) as u64
}

/// User and system time of this process. `/proc` counts in hundredths of a second on Linux.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).map_or(Ok(0), |field| field.parse::<u64>());
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

fn resident_mb() -> Result<u64, Box<dyn std::error::Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok((pages * 4096) >> 20)
}
