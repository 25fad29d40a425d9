-- The secrets under which everything is sealed, each wrapped under a master key that is never in the database. An owner
-- is a tenant, or the platform itself (the nil id). Whoever takes an owner's rows away has made all of its sealed values
-- unreadable for good.

DROP TABLE key_checks;

CREATE TABLE data_keys (
  owner {uuid} NOT NULL,
  -- `fixed`: hashes that are looked up, and files; it is wrapped anew, never replaced. `data`: sealed columns.
  purpose {text} NOT NULL CHECK (purpose IN ('fixed', 'data')),
  version {int} NOT NULL,
  -- A new version is known to all nodes (`next`) before any of them seals with it (`current`); an `old` one is only
  -- opened with, until nothing needs it.
  -- The keys of an erased tenant leave one row without a secret (`destroyed`).
  state {text} NOT NULL CHECK (state IN ('next', 'current', 'old', 'destroyed')),
  wrapped {bytes} NOT NULL,
  -- Names the master key.
  wrapped_by {int} NOT NULL,
  created_at {time} NOT NULL,
  PRIMARY KEY (owner, purpose, version)
) {clustered};
CREATE INDEX data_keys_state ON data_keys (state, owner);

-- How far the sealed values of an owner are written anew.
CREATE TABLE key_rotations (
  owner {uuid} NOT NULL PRIMARY KEY,
  -- The version that takes the place of all others.
  version {int} NOT NULL,
  -- The column that is being written, in the order of the code's registry, and the last row that is done.
  place {int} NOT NULL,
  after {uuid} NOT NULL,
  rewritten {int} NOT NULL,
  -- When the phase began.
  since {time} NOT NULL
) {strict};

INSERT INTO epochs (name, value) VALUES ('keys', 0);
