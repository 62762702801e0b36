-- What an embedded TokenRouter keeps: workspaces, their keys and rules, stored responses, the request ledger.
--
-- Times are milliseconds since the Unix epoch, money is in billionths of a US dollar, flags are 0 or 1.
-- Small tables that people edit carry foreign keys and checks. The two that every request writes
-- (`ledger`, `responses`) carry neither, and no index beyond those that a finder needs.

CREATE TABLE workspaces (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX users_by_workspace ON users (workspace_id);

-- The plain key is never here: its BLAKE3 hash finds it, prefix and last4 let a person recognise it.
CREATE TABLE api_keys (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    user_id       INTEGER NOT NULL REFERENCES users (id),
    name          TEXT    NOT NULL,
    hash          BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    prefix        TEXT    NOT NULL,
    last4         TEXT    NOT NULL,
    -- 1 for the key that the first start made or TOKENROUTER_BOOTSTRAP_KEY gave, until a person revokes it.
    is_bootstrap  INTEGER NOT NULL DEFAULT 0 CHECK (is_bootstrap IN (0, 1)),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER
) STRICT;

CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id);

CREATE TABLE routing_rules (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    user_id       INTEGER NOT NULL REFERENCES users (id),
    name          TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    is_enabled    INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    match_json    TEXT    NOT NULL CHECK (json_valid(match_json)),
    action_json   TEXT    NOT NULL CHECK (json_valid(action_json)),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX routing_rules_in_order ON routing_rules (workspace_id, priority DESC);

CREATE TABLE firewall_rules (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id  INTEGER NOT NULL REFERENCES workspaces (id),
    user_id       INTEGER NOT NULL REFERENCES users (id),
    name          TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    is_enabled    INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    scope         TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    pattern       TEXT    NOT NULL,
    action        TEXT    NOT NULL,
    replacement   TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX firewall_rules_in_order ON firewall_rules (workspace_id, priority DESC);

-- Counts the changes to what the data plane reads, so that a gateway sees another process's change
-- (`tokenrouter keys create`) by reading one integer.
CREATE TABLE config_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;

INSERT INTO config_version (id, version) VALUES (1, 1);

CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
BEGIN UPDATE config_version SET version = version + 1; END;

CREATE TRIGGER routing_rules_inserted AFTER INSERT ON routing_rules
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER routing_rules_updated AFTER UPDATE ON routing_rules
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER routing_rules_deleted AFTER DELETE ON routing_rules
BEGIN UPDATE config_version SET version = version + 1; END;

CREATE TRIGGER firewall_rules_inserted AFTER INSERT ON firewall_rules
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER firewall_rules_updated AFTER UPDATE ON firewall_rules
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER firewall_rules_deleted AFTER DELETE ON firewall_rules
BEGIN UPDATE config_version SET version = version + 1; END;

-- One row a request, whatever became of it. Never prompt text, never an answer.
-- A rowid table: rows are appended, and only the two small indexes are searched.
CREATE TABLE ledger (
    id                 INTEGER PRIMARY KEY,
    workspace_id       INTEGER NOT NULL,
    key_id             INTEGER NOT NULL,
    request_id         TEXT    NOT NULL,
    response_id        TEXT,
    created_at_ms      INTEGER NOT NULL,
    latency_ms         INTEGER NOT NULL,
    provider           TEXT,
    model              TEXT,
    requested_model    TEXT,
    mode               TEXT    NOT NULL,
    task               TEXT,
    stream             INTEGER NOT NULL,
    outcome            TEXT    NOT NULL,
    http_status        INTEGER NOT NULL,
    error_code         TEXT,
    input_tokens       INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost_nano_usd      INTEGER,
    decision_json      TEXT    NOT NULL
);

-- Within the workspace, so that no caller's id can make another workspace's entry vanish.
CREATE UNIQUE INDEX ledger_by_request ON ledger (workspace_id, request_id);
CREATE INDEX ledger_by_time ON ledger (workspace_id, created_at_ms);

-- Responses that a caller asked to keep (`store`). A rowid table: a WITHOUT ROWID row of 2 kB would
-- spill into overflow pages of its own.
CREATE TABLE responses (
    seq                  INTEGER PRIMARY KEY,
    workspace_id         INTEGER NOT NULL,
    id                   TEXT    NOT NULL,
    previous_response_id TEXT,
    conversation_id      TEXT,
    created_at_ms        INTEGER NOT NULL,
    body                 BLOB    NOT NULL,
    input                BLOB    NOT NULL
);

CREATE UNIQUE INDEX responses_by_id ON responses (workspace_id, id);
