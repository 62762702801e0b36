-- Conversations: items under one id that responses are made upon, and that grow by each of them.

CREATE TABLE conversations (
    seq           INTEGER PRIMARY KEY,
    workspace_id  INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    metadata      TEXT    NOT NULL CHECK (json_valid(metadata))
) STRICT;

CREATE UNIQUE INDEX conversations_by_id ON conversations (workspace_id, id);

-- In the order in which they were added. AUTOINCREMENT: the place of a deleted item is never given again,
-- so that a page that begins after it stays where it was.
CREATE TABLE conversation_items (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id    INTEGER NOT NULL,
    conversation_id TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    body            BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX conversation_items_by_id ON conversation_items (workspace_id, conversation_id, id);
CREATE INDEX conversation_items_in_order ON conversation_items (workspace_id, conversation_id, seq);
