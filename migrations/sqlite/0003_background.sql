-- Responses that are being made in the background are stored before they are finished.

-- The key that asked for a response that is not finished; null for all others. The row is written once
-- more when the response is, and what has a key here when a gateway starts was left by one that died.
ALTER TABLE responses ADD COLUMN running_for_key INTEGER;

CREATE INDEX responses_running ON responses (running_for_key) WHERE running_for_key IS NOT NULL;
