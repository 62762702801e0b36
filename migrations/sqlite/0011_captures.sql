-- Prompts and answers, for workspaces that have asked for it.

-- Without a row here nothing of the workspace is captured.
CREATE TABLE capture_settings (
    workspace_id INTEGER PRIMARY KEY REFERENCES workspaces (id),
    days         INTEGER NOT NULL CHECK (days BETWEEN 1 AND 365)
) STRICT;

CREATE TRIGGER capture_settings_inserted AFTER INSERT ON capture_settings
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER capture_settings_updated AFTER UPDATE ON capture_settings
BEGIN UPDATE config_version SET version = version + 1; END;
CREATE TRIGGER capture_settings_deleted AFTER DELETE ON capture_settings
BEGIN UPDATE config_version SET version = version + 1; END;

-- As the firewall left them.
CREATE TABLE captures (
    id            INTEGER PRIMARY KEY,
    workspace_id  INTEGER NOT NULL,
    request_id    TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    input         BLOB    NOT NULL,
    output        BLOB
) STRICT;

CREATE UNIQUE INDEX captures_by_request ON captures (workspace_id, request_id);
CREATE INDEX captures_by_time ON captures (workspace_id, created_at_ms);
