-- What people say of answers. One voice a response: who says something anew takes the old back.

CREATE TABLE feedback (
    workspace_id    INTEGER NOT NULL,
    response_id     TEXT    NOT NULL,
    provider        TEXT    NOT NULL,
    -- The catalog's id, whatever name the model was asked by.
    model           TEXT    NOT NULL,
    task            TEXT    NOT NULL,
    -- 0 to 1.
    score           REAL    NOT NULL,
    -- The quality that was forecast for this answer, 0 to 1.
    forecast        REAL    NOT NULL,
    comment         TEXT,
    created_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, response_id)
) STRICT;
