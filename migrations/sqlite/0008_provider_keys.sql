-- Workspaces' own keys for providers.

-- The plain key is never here: `sealed` is it, encrypted under the master key of that version, bound to the
-- row's workspace, provider, id and origin. `last4` lets a person recognise it.
CREATE TABLE provider_keys (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id       INTEGER NOT NULL REFERENCES workspaces (id),
    user_id            INTEGER NOT NULL REFERENCES users (id),
    provider           TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    -- Scheme, host and port of the provider when the key was given: it goes nowhere else.
    origin             TEXT    NOT NULL,
    weight             INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 1000),
    last4              TEXT    NOT NULL,
    master_key_version INTEGER NOT NULL,
    sealed             BLOB    NOT NULL,
    created_at_ms      INTEGER NOT NULL,
    updated_at_ms      INTEGER NOT NULL
) STRICT;

CREATE INDEX provider_keys_by_workspace ON provider_keys (workspace_id);

CREATE TRIGGER provider_keys_inserted AFTER INSERT ON provider_keys
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER provider_keys_updated AFTER UPDATE ON provider_keys
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER provider_keys_deleted AFTER DELETE ON provider_keys
BEGIN UPDATE config_version SET version = version + 1; END;
