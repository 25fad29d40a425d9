-- People who log in, what they are in which tenant, and the credentials of people and programs. Of every token only a
-- keyed hash is kept.

CREATE TABLE users (
  id {uuid} NOT NULL PRIMARY KEY,
  -- In lower case.
  email {text} NOT NULL,
  name {text} NOT NULL,
  -- A PHC string (Argon2id).
  password_hash {text} NOT NULL,
  status {text} NOT NULL CHECK (status IN ('active', 'disabled')),
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL
) {strict};
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE memberships (
  tenant_id {uuid} NOT NULL,
  user_id {uuid} NOT NULL,
  role {text} NOT NULL CHECK (role IN ('owner', 'manager', 'sales', 'operations', 'field_staff', 'viewer')),
  created_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, user_id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) {clustered};
CREATE INDEX memberships_user ON memberships (user_id, tenant_id);

CREATE TABLE sessions (
  id {uuid} NOT NULL PRIMARY KEY,
  token_hash {bytes} NOT NULL,
  user_id {uuid} NOT NULL,
  -- A browser's, which has to prove where its requests come from, or a program's.
  kind {text} NOT NULL CHECK (kind IN ('browser', 'bearer')),
  -- The tenant of the routes that name none.
  tenant_id {uuid},
  created_at {time} NOT NULL,
  seen_at {time} NOT NULL,
  expires_at {time} NOT NULL,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) {strict};
CREATE UNIQUE INDEX sessions_token ON sessions (token_hash);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_age ON sessions (expires_at);

CREATE TABLE api_keys (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  name {text} NOT NULL,
  role {text} NOT NULL CHECK (role IN ('owner', 'manager', 'sales', 'operations', 'field_staff', 'viewer')),
  token_hash {bytes} NOT NULL,
  -- Its first letters, to know it by.
  hint {text} NOT NULL,
  created_at {time} NOT NULL,
  expires_at {time},
  used_at {time},
  revoked_at {time},
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) {strict};
CREATE UNIQUE INDEX api_keys_token ON api_keys (token_hash);

CREATE TABLE invitations (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  email {text} NOT NULL,
  role {text} NOT NULL CHECK (role IN ('owner', 'manager', 'sales', 'operations', 'field_staff', 'viewer')),
  token_hash {bytes} NOT NULL,
  created_at {time} NOT NULL,
  expires_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) {strict};
CREATE UNIQUE INDEX invitations_token ON invitations (token_hash);
CREATE UNIQUE INDEX invitations_email ON invitations (tenant_id, email);
CREATE INDEX invitations_age ON invitations (expires_at);

-- Links with which somebody sets a new password; one at a time for each user.
CREATE TABLE password_resets (
  user_id {uuid} NOT NULL PRIMARY KEY,
  token_hash {bytes} NOT NULL,
  expires_at {time} NOT NULL,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) {strict};
CREATE UNIQUE INDEX password_resets_token ON password_resets (token_hash);
CREATE INDEX password_resets_age ON password_resets (expires_at);
