-- Templates that WhatsApp approves, and what providers tell about numbers.

CREATE TABLE message_templates (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  -- The channel through which it was made or found; it serves all channels of the account.
  channel_id {uuid} NOT NULL,
  provider_id {text},
  name {text} NOT NULL,
  language {text} NOT NULL,
  category {text} NOT NULL CHECK (category IN ('MARKETING', 'UTILITY', 'AUTHENTICATION')),
  -- The category that WhatsApp announced for later.
  next_category {text},
  status {text} NOT NULL,
  quality {text} NOT NULL,
  reason {text},
  -- Its text in Meta's component form.
  definition {json} NOT NULL,
  -- Somebody is handing it in since then.
  submitted_at {time},
  -- The provider's time of the last news by webhook; older news change nothing.
  told_at {time},
  synced_at {time},
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name, language, channel_id),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id)
) {strict};
CREATE INDEX message_templates_provider ON message_templates (tenant_id, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX message_templates_channel ON message_templates (tenant_id, channel_id, id);
CREATE INDEX message_templates_pending ON message_templates (channel_id, id) WHERE status = 'pending';

-- What a provider tells about a number. Not in channels: those are read whole by every node when one changes.
CREATE TABLE channel_health (
  tenant_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  quality {text},
  -- Messages a second.
  throughput {int},
  messaging_limit {text},
  alert {text},
  alerted_at {time},
  templates_synced_at {time},
  templates_error {text},
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, channel_id),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id) ON DELETE CASCADE
) {strict};
