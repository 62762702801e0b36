-- How much an API key may do. Null: no limit.

ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE api_keys ADD COLUMN tokens_per_minute INTEGER;
ALTER TABLE api_keys ADD COLUMN max_in_flight INTEGER;
-- By calendar month, in UTC.
ALTER TABLE api_keys ADD COLUMN monthly_tokens INTEGER;
ALTER TABLE api_keys ADD COLUMN monthly_budget_nano_usd INTEGER;
