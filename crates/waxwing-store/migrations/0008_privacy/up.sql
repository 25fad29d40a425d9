-- Blocking, erasing, and what outlives an erasure: that somebody wants no marketing, as a keyed hash.

ALTER TABLE contacts ADD COLUMN blocked_at {time};
ALTER TABLE contacts ADD COLUMN erased_at {time};
CREATE INDEX contacts_merged ON contacts (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- Its keys are destroyed, its rows are being deleted.
ALTER TABLE tenants ADD COLUMN erasing_since {time};

CREATE TABLE suppressions (
  tenant_id {uuid} NOT NULL,
  kind {text} NOT NULL,
  value_hash {bytes} NOT NULL,
  since {time} NOT NULL,
  PRIMARY KEY (tenant_id, kind, value_hash)
) {clustered};

-- Contacts that were erased. What their messages and raw webhooks hold is taken away in steps: `phase` and `after` say
-- how far that is.
CREATE TABLE erasures (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  contact_id {uuid} NOT NULL,
  reason {text} NOT NULL CHECK (reason IN ('request', 'inactivity')),
  -- What raw webhooks are searched for, until that is done.
  needles_sealed {bytes},
  phase {text} NOT NULL CHECK (phase IN ('messages', 'webhooks', 'done')),
  after {uuid} NOT NULL,
  -- Something was in flight and is left for another pass.
  again {bool} NOT NULL,
  begun_at {time} NOT NULL,
  done_at {time},
  PRIMARY KEY (tenant_id, id)
) {strict};
CREATE INDEX erasures_open ON erasures (tenant_id, id) WHERE done_at IS NULL;
CREATE INDEX erasures_contact ON erasures (tenant_id, contact_id, id);
