-- Rules that match on the text as it is meant, and how often each rule has matched.

ALTER TABLE firewall_rules ADD COLUMN normalize INTEGER NOT NULL DEFAULT 0 CHECK (normalize IN (0, 1));

-- Apart from the rules, whose every change makes gateways load them anew.
CREATE TABLE firewall_hits (
    rule_id        INTEGER PRIMARY KEY,
    hits           INTEGER NOT NULL,
    last_hit_at_ms INTEGER NOT NULL
) STRICT;

CREATE TRIGGER firewall_hits_deleted AFTER DELETE ON firewall_rules
BEGIN DELETE FROM firewall_hits WHERE rule_id = OLD.id; END;
