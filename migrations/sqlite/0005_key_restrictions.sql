-- What an API key may do.

-- `full`, or `inference` for a key that manages nothing.
ALTER TABLE api_keys ADD COLUMN scope TEXT NOT NULL DEFAULT 'full' CHECK (scope IN ('full', 'inference'));
-- The patterns of the models that it may use, as a JSON list; empty: all.
ALTER TABLE api_keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(models));
