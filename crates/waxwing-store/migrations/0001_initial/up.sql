-- The tables of the main job. Conventions: every tenant table leads its keys and indexes with tenant_id; ids are UUIDv7;
-- times are microseconds since 1970 in UTC; `*_sealed` columns are AES-256-GCM ciphertext bound to tenant, table,
-- column and row; `*_hash` columns are keyed hashes. Every index costs a page or two in each commit, so there are few:
-- what is deleted by age is found by its id, which begins with the time. Tables of short rows are `clustered`: on SQLite
-- the primary key holds the row.

CREATE TABLE tenants (
  id {uuid} NOT NULL PRIMARY KEY,
  name {text} NOT NULL,
  settings {json} NOT NULL,
  -- Rises with every change of templates, rules and settings, so that caches know when to read again.
  config_version {int} NOT NULL,
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL
) {strict};

CREATE TABLE channels (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  kind {text} NOT NULL CHECK (kind IN ('meta', 'twilio', 'dialog360', 'msg91')),
  name {text} NOT NULL,
  -- The provider's id of the sending number, and of its account.
  sender_id {text} NOT NULL,
  account_id {text},
  display_phone {text},
  credentials_sealed {bytes} NOT NULL,
  -- Which secret signs this channel's webhooks; compared with the one that matched. NULL: the platform's.
  secret_hash {bytes},
  status {text} NOT NULL CHECK (status IN ('active', 'broken', 'disabled')),
  status_reason {text},
  paused_until {time} NOT NULL,
  -- The provider failed too often: nothing goes before then, and what goes next is a probe. 0: it works.
  circuit_until {time} NOT NULL,
  -- How fast it may send, where that is not the provider's usual.
  limits {json} NOT NULL,
  last_webhook_at {time},
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) {strict};

-- Which channel a webhook item belongs to: one row for each number, over all tenants.
CREATE TABLE channel_routes (
  kind {text} NOT NULL,
  sender_id {text} NOT NULL,
  tenant_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  account_id {text},
  PRIMARY KEY (kind, sender_id),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id) ON DELETE CASCADE
) {strict};
CREATE INDEX channel_routes_account ON channel_routes (kind, account_id);

-- Things that exist at a provider and are used by many messages (Twilio: Content resources).
CREATE TABLE provider_assets (
  tenant_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  key_hash {bytes} NOT NULL,
  -- The provider's id.
  reference {text} NOT NULL,
  created_at {time} NOT NULL,
  expires_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, channel_id, key_hash),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id) ON DELETE CASCADE
) {strict};
CREATE INDEX provider_assets_age ON provider_assets (expires_at);

-- Counters that tell every node when to read its caches again.
CREATE TABLE epochs (
  name {text} NOT NULL PRIMARY KEY,
  value {int} NOT NULL
) {strict};
INSERT INTO epochs (name, value) VALUES ('channels', 0);

CREATE TABLE templates (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  key {text} NOT NULL,
  active {bool} NOT NULL,
  version {int} NOT NULL,
  definition {json} NOT NULL,
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, key),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) {strict};

CREATE TABLE flow_sets (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  version {int} NOT NULL,
  definition {json} NOT NULL,
  created_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, version),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) {strict};

CREATE TABLE contacts (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  phone_sealed {bytes},
  user_id_sealed {bytes},
  username_sealed {bytes},
  profile_name {text},
  -- What the person said about marketing, and when.
  marketing {text} CHECK (marketing IN ('opted_in', 'opted_out')),
  marketing_at {time},
  -- The contact that this one turned out to be.
  merged_into {uuid},
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  last_inbound_at {time},
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) {strict};

CREATE TABLE contact_aliases (
  tenant_id {uuid} NOT NULL,
  kind {text} NOT NULL CHECK (kind IN ('phone', 'user_id')),
  value_hash {bytes} NOT NULL,
  contact_id {uuid} NOT NULL,
  created_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, kind, value_hash),
  FOREIGN KEY (tenant_id, contact_id) REFERENCES contacts (tenant_id, id)
) {clustered};
CREATE INDEX contact_aliases_contact ON contact_aliases (tenant_id, contact_id);

-- Contacts that turned out to be one person, with what was moved, so that it can be undone.
CREATE TABLE contact_merges (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  winner_id {uuid} NOT NULL,
  loser_id {uuid} NOT NULL,
  reason {text} NOT NULL CHECK (reason IN ('same_message', 'provider', 'by_hand')),
  moved {json} NOT NULL,
  merged_at {time} NOT NULL,
  undone_at {time},
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, winner_id) REFERENCES contacts (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, loser_id) REFERENCES contacts (tenant_id, id) ON DELETE CASCADE
) {strict};
CREATE INDEX contact_merges_winner ON contact_merges (tenant_id, winner_id, id);
CREATE INDEX contact_merges_loser ON contact_merges (tenant_id, loser_id, id);

CREATE TABLE conversations (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  contact_id {uuid} NOT NULL,
  status {text} NOT NULL CHECK (status IN ('open', 'closed')),
  mode {text} NOT NULL CHECK (mode IN ('bot', 'human')),
  state {text},
  last_template_key {text},
  session_expires_at {time},
  -- Free-form messages are allowed until then; and messages are free of charge until then, after an ad.
  window_expires_at {time},
  free_entry_until {time},
  last_message_at {time} NOT NULL,
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, channel_id, contact_id),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id),
  FOREIGN KEY (tenant_id, contact_id) REFERENCES contacts (tenant_id, id)
) {strict};
CREATE INDEX conversations_contact ON conversations (tenant_id, contact_id);
CREATE INDEX conversations_recent ON conversations (tenant_id, last_message_at, id);

-- Messages in and out. Outbound ones are the send queue at the same time.
CREATE TABLE messages (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  conversation_id {uuid} NOT NULL,
  contact_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  direction {text} NOT NULL CHECK (direction IN ('IN', 'OUT')),
  kind {text} NOT NULL,
  status {text} NOT NULL,
  -- The height of the status on the ladder; see MessageStatus::rank.
  rank {small} NOT NULL,
  purpose {text},
  body {text},
  content {json} NOT NULL,
  template_key {text},
  -- Why it was sent, or why an inbound one got no answer.
  cause {json},
  reply_to {uuid},
  idempotency_key {text},
  request_hash {bytes},
  provider_id_sealed {bytes},
  -- Of what was sent; what was received is found by its mark.
  provider_id_hash {bytes},
  -- Another id of the provider, by which replies name the message (MSG91).
  provider_alias_hash {bytes},
  attempts {small} NOT NULL,
  attempt_id {uuid},
  claimed_by {uuid},
  priority {small} NOT NULL,
  due_at {time} NOT NULL,
  -- Queued for a later time ('time') or until the contact writes ('window'): it does not hold up later messages before
  -- it is due.
  waits_for {text},
  -- What becomes of it when the customer service window is closed. NULL: it fails.
  outside_window {json},
  outcome_unknown {bool} NOT NULL,
  unknown_at {time},
  may_be_duplicate {bool} NOT NULL,
  order_uncertain {bool} NOT NULL,
  error_class {text},
  error_code {text},
  error_message {text},
  pricing {json},
  provider_at {time},
  sent_at {time},
  delivered_at {time},
  read_at {time},
  failed_at {time},
  created_at {time} NOT NULL,
  updated_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations (tenant_id, id)
) {strict};
CREATE INDEX messages_thread ON messages (tenant_id, conversation_id, id);
-- With the id, so that ORDER BY id does not tempt the planner into walking all messages of the tenant.
CREATE INDEX messages_provider ON messages (tenant_id, channel_id, provider_id_hash, id) WHERE provider_id_hash IS NOT NULL;
CREATE INDEX messages_provider_alias ON messages (tenant_id, channel_id, provider_alias_hash, id) WHERE provider_alias_hash IS NOT NULL;
CREATE UNIQUE INDEX messages_idempotency ON messages (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX messages_queue ON messages (tenant_id, channel_id, priority, due_at, id) WHERE status = 'queued';
CREATE INDEX messages_lane ON messages (tenant_id, conversation_id, id) WHERE status IN ('queued', 'sending');
CREATE INDEX messages_claims ON messages (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX messages_unknown ON messages (unknown_at) WHERE unknown_at IS NOT NULL;

CREATE TABLE attempts (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  message_id {uuid} NOT NULL,
  number {small} NOT NULL,
  started_at {time} NOT NULL,
  finished_at {time},
  outcome {text},
  error_class {text},
  error_code {text},
  error_message {text},
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, message_id) REFERENCES messages (tenant_id, id) ON DELETE CASCADE
) {clustered};
CREATE INDEX attempts_message ON attempts (tenant_id, message_id, id);

-- What delivered messages cost, once for each.
CREATE TABLE message_costs (
  tenant_id {uuid} NOT NULL,
  message_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  -- Days since 1970, UTC.
  day {int} NOT NULL,
  category {text} NOT NULL,
  -- NULL: free, or no price is known.
  currency {text},
  -- Millionths; NULL: no price is known.
  micros {int},
  PRIMARY KEY (tenant_id, message_id)
) {clustered};
CREATE INDEX message_costs_day ON message_costs (tenant_id, day, category);

-- Statuses whose message is not known yet.
CREATE TABLE parked_statuses (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  provider_id_hash {bytes} NOT NULL,
  update_sealed {bytes} NOT NULL,
  parked_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, channel_id) REFERENCES channels (tenant_id, id) ON DELETE CASCADE
) {strict};
CREATE INDEX parked_statuses_message ON parked_statuses (tenant_id, channel_id, provider_id_hash, id);
CREATE INDEX parked_statuses_age ON parked_statuses (parked_at);

-- Raw provider requests, stored before they are acknowledged. Not a tenant table: one request may serve several.
CREATE TABLE webhook_events (
  id {uuid} NOT NULL PRIMARY KEY,
  provider {text} NOT NULL,
  -- Requests of one sending number are always in one partition, which one node handles at a time.
  partition {small} NOT NULL,
  -- A request for several partitions has a row in each; the bits name them all.
  partition_mask {small} NOT NULL,
  -- The channel that its address names, for providers that do not sign.
  channel_id {uuid},
  -- The part of its query string that reading it needs; never a secret.
  query {text} NOT NULL,
  state {text} NOT NULL CHECK (state IN ('pending', 'done', 'quarantined')),
  reason {text},
  body_sealed {bytes} NOT NULL,
  body_hash {bytes} NOT NULL,
  -- Which secret its signature matched.
  secret_hash {bytes} NOT NULL,
  -- How often a process died while it handled this request alone.
  crashes {small} NOT NULL,
  received_at {time} NOT NULL,
  finished_at {time}
) {strict};
CREATE INDEX webhook_events_pending ON webhook_events (partition, id) WHERE state = 'pending';
CREATE INDEX webhook_events_quarantined ON webhook_events (id) WHERE state = 'quarantined';

-- What has taken effect, so that it cannot again. Outlives the payload.
CREATE TABLE inbound_marks (
  tenant_id {uuid} NOT NULL,
  channel_id {uuid} NOT NULL,
  kind {text} NOT NULL,
  item_hash {bytes} NOT NULL,
  message_id {uuid},
  -- The item was a placeholder; the real content may still come under the same id.
  placeholder {bool} NOT NULL,
  seen_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, channel_id, kind, item_hash)
) {clustered};
CREATE INDEX inbound_marks_age ON inbound_marks (seen_at);

CREATE TABLE outbox_events (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  type {text} NOT NULL,
  data {json} NOT NULL,
  created_at {time} NOT NULL,
  PRIMARY KEY (tenant_id, id)
) {clustered};

CREATE TABLE dead_letters (
  tenant_id {uuid} NOT NULL,
  id {uuid} NOT NULL,
  kind {text} NOT NULL CHECK (kind IN ('message', 'webhook_item')),
  message_id {uuid},
  webhook_event_id {uuid},
  item_index {int},
  error_class {text} NOT NULL,
  error_code {text},
  error_message {text} NOT NULL,
  created_at {time} NOT NULL,
  resolved_at {time},
  resolution {text},
  PRIMARY KEY (tenant_id, id)
) {strict};
CREATE INDEX dead_letters_open ON dead_letters (tenant_id, id) WHERE resolved_at IS NULL;
CREATE UNIQUE INDEX dead_letters_message ON dead_letters (tenant_id, message_id) WHERE message_id IS NOT NULL AND resolved_at IS NULL;
CREATE UNIQUE INDEX dead_letters_item ON dead_letters (tenant_id, webhook_event_id, item_index) WHERE webhook_event_id IS NOT NULL;
CREATE INDEX dead_letters_age ON dead_letters (created_at);

-- Running processes, and what each holds. The token of a lease rises with every change of holder.
CREATE TABLE nodes (
  id {uuid} NOT NULL PRIMARY KEY,
  name {text} NOT NULL,
  role {text} NOT NULL,
  started_at {time} NOT NULL,
  seen_at {time} NOT NULL
) {strict};
CREATE UNIQUE INDEX nodes_name ON nodes (name);

CREATE TABLE leases (
  name {text} NOT NULL PRIMARY KEY,
  holder {uuid},
  token {int} NOT NULL,
  expires_at {time} NOT NULL
) {strict};

-- A sealed constant: opens only under the right MASTER_KEY.
CREATE TABLE key_checks (
  key_id {int} NOT NULL PRIMARY KEY,
  check_sealed {bytes} NOT NULL,
  created_at {time} NOT NULL
) {strict};
