-- What each request was counted as against limits, so that their sums are the same after a restart. Null in
-- entries from before: their tokens and their cost.
ALTER TABLE ledger ADD COLUMN charged_tokens INTEGER;
ALTER TABLE ledger ADD COLUMN charged_nano_usd INTEGER;

-- 1 where the answer was cut, or its provider told no usage: then tokens and cost are what they are likely to be.
ALTER TABLE ledger ADD COLUMN usage_is_estimate INTEGER NOT NULL DEFAULT 0 CHECK (usage_is_estimate IN (0, 1));
