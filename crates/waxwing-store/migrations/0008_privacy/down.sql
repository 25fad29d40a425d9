DROP TABLE erasures;
DROP TABLE suppressions;
ALTER TABLE tenants DROP COLUMN erasing_since;
DROP INDEX contacts_merged;
ALTER TABLE contacts DROP COLUMN erased_at;
ALTER TABLE contacts DROP COLUMN blocked_at;
