-- Files of tenants. The bytes are in the object store, sealed; these rows say what they are and whose.

-- One row for each object, written before its first byte, so that none is ever forgotten there.
CREATE TABLE media_objects (
  tenant_id {uuid} NOT NULL,
  -- Names the object and its key. Never used twice.
  id {uuid} NOT NULL,
  state {text} NOT NULL CHECK (state IN ('writing', 'stored', 'deleting')),
  sha256 {bytes},
  size {int} NOT NULL,
  changed_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) {strict};
-- The same content is kept once for each tenant.
CREATE UNIQUE INDEX media_objects_content ON media_objects (tenant_id, sha256) WHERE state = 'stored';
CREATE INDEX media_objects_unsettled ON media_objects (changed_at, tenant_id, id) WHERE state <> 'stored';

-- A file that was received or uploaded. One that is still to be fetched is a job that waits for its due time.
CREATE TABLE media (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  kind {text} NOT NULL CHECK (kind IN ('image', 'video', 'audio', 'document', 'sticker')),
  -- Where it comes from; NULL for an upload.
  channel_id {uuid},
  message_id {uuid},
  source_sealed {bytes},
  filename_sealed {bytes},
  status {text} NOT NULL CHECK (status IN ('pending', 'stored', 'failed')),
  -- What it was said to be, then what it is.
  mime {text},
  mismatch {bool} NOT NULL,
  size {int},
  sha256 {bytes},
  object_id {uuid},
  error_class {text},
  error_message {text},
  attempts {small} NOT NULL,
  due_at {time} NOT NULL,
  -- The object that the running attempt writes; whoever has another one may not record anything.
  claim_id {uuid},
  -- The process of that attempt: what a dead one held is taken over at once.
  claimed_by {uuid},
  give_up_at {time} NOT NULL,
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  expires_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, object_id) REFERENCES media_objects (tenant_id, id)
) {strict};
CREATE INDEX media_due ON media (due_at, tenant_id, id) WHERE status = 'pending';
CREATE INDEX media_object ON media (tenant_id, object_id) WHERE object_id IS NOT NULL;
CREATE INDEX media_claims ON media (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX media_age ON media (expires_at, tenant_id, id);
