ALTER TABLE contacts DROP COLUMN profile_name_sealed;
ALTER TABLE messages DROP COLUMN content_sealed;
DROP INDEX tenants_content_sealed;
ALTER TABLE tenants DROP COLUMN content_sealed_since;
