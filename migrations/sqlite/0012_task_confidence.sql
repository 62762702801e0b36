-- From which confidence on a workspace's rules on `task` fire. Null: the gateway's setting.

ALTER TABLE workspaces ADD COLUMN task_confidence_percent INTEGER CHECK (task_confidence_percent BETWEEN 0 AND 100);
