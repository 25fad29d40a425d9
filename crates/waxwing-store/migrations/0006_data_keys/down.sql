DELETE FROM epochs WHERE name = 'keys';
DROP TABLE key_rotations;
DROP TABLE data_keys;
CREATE TABLE key_checks (
  key_id {int} NOT NULL PRIMARY KEY,
  check_sealed {bytes} NOT NULL,
  created_at {time} NOT NULL
) {strict};
