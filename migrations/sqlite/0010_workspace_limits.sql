-- How much all keys of a workspace may do together. Null: no limit.

ALTER TABLE workspaces ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE workspaces ADD COLUMN tokens_per_minute INTEGER;
ALTER TABLE workspaces ADD COLUMN max_in_flight INTEGER;
-- By calendar month, in UTC.
ALTER TABLE workspaces ADD COLUMN monthly_tokens INTEGER;
ALTER TABLE workspaces ADD COLUMN monthly_budget_nano_usd INTEGER;

CREATE TRIGGER workspaces_updated AFTER UPDATE ON workspaces
BEGIN UPDATE config_version SET version = version + 1; END;
