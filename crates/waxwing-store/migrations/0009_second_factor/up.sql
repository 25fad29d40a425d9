-- A second factor of people who log in: one-time codes by time (RFC 6238), and words for the day the phone is lost.

CREATE TABLE second_factors (
  user_id {uuid} NOT NULL PRIMARY KEY,
  secret_sealed {bytes} NOT NULL,
  -- When the person proved to have it; before that it is not asked for.
  confirmed_at {time},
  -- The newest step of time whose code was used: none is taken twice, and none that is older.
  used_step {int} NOT NULL,
  created_at {time} NOT NULL,
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) {strict};

-- Each works once; only keyed hashes are kept.
CREATE TABLE recovery_codes (
  user_id {uuid} NOT NULL,
  code_hash {bytes} NOT NULL,
  PRIMARY KEY (user_id, code_hash),
  FOREIGN KEY (user_id) REFERENCES second_factors (user_id) ON DELETE CASCADE
) {clustered};
