-- What the ledger is to say of a response that is being made in the background, if its gateway dies: its entry, as
-- JSON. Null in finished ones.
ALTER TABLE responses ADD COLUMN if_left TEXT;

-- Of those that were left before, what was used is not known.
UPDATE responses SET if_left = json_object(
    'request_id', coalesce(json_extract(CAST(body AS TEXT), '$.tokenrouter.request_id'), id),
    'workspace_id', workspace_id,
    'key_id', running_for_key,
    'response_id', id,
    'created_at_ms', created_at_ms,
    'latency_ms', 0,
    'provider', NULL,
    'model', NULL,
    'requested_model', NULL,
    'mode', coalesce(json_extract(CAST(body AS TEXT), '$.tokenrouter.mode'), ''),
    'task', json_extract(CAST(body AS TEXT), '$.tokenrouter.task'),
    'stream', json('false'),
    'outcome', 'failed',
    'http_status', 503,
    'error_code', 'service_unavailable',
    'input_tokens', 0,
    'cached_input_tokens', 0,
    'cache_write_tokens', 0,
    'output_tokens', 0,
    'reasoning_tokens', 0,
    'cost_nano_usd', NULL,
    'usage_is_estimate', json('false'),
    'charged_tokens', 0,
    'charged_nano_usd', 0,
    -- A string that holds JSON: without the `||` it would be an object.
    'decision_json', coalesce(json_extract(CAST(body AS TEXT), '$.tokenrouter') || '', '{}')
) WHERE running_for_key IS NOT NULL;
