-- Who did what to which object, from where. An entry is written in the transaction of what it tells of, with a keyed
-- proof of its own; a moment later it gets its number and its place in the tenant's chain. What the platform's operator
-- does belongs to the nil tenant.

CREATE TABLE audit_entries (
  tenant_id {uuid} NOT NULL,
  -- What people agreed to is a book of its own: it is never shortened.
  book {text} NOT NULL CHECK (book IN ('audit', 'consent')),
  id {uuid} NOT NULL,
  at {time} NOT NULL,
  actor {text} NOT NULL,
  address {text},
  action {text} NOT NULL,
  object {text} NOT NULL,
  object_id {text},
  -- Before and after, as JSON.
  change_sealed {bytes},
  proof {bytes} NOT NULL,
  seq {int},
  link {bytes},
  PRIMARY KEY (tenant_id, id)
) {strict};
CREATE INDEX audit_entries_book ON audit_entries (tenant_id, book, id);
CREATE UNIQUE INDEX audit_entries_seq ON audit_entries (tenant_id, book, seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_entries_unlinked ON audit_entries (tenant_id, book, id) WHERE seq IS NULL;
CREATE INDEX audit_entries_object ON audit_entries (tenant_id, book, object, object_id, id);

-- Both ends of each chain, with a proof of each: the first one moves when old entries are deleted.
CREATE TABLE audit_heads (
  tenant_id {uuid} NOT NULL,
  book {text} NOT NULL,
  seq {int} NOT NULL,
  link {bytes} NOT NULL,
  proof {bytes} NOT NULL,
  first_seq {int} NOT NULL,
  first_link {bytes} NOT NULL,
  first_proof {bytes} NOT NULL,
  PRIMARY KEY (tenant_id, book)
) {strict};
