-- Where a tenant wants it, what people write and what they call themselves is sealed as well.

-- Since when what is written is sealed.
ALTER TABLE tenants ADD COLUMN content_sealed_since {time};
CREATE INDEX tenants_content_sealed ON tenants (id) WHERE content_sealed_since IS NOT NULL;

-- `content` and `outside_window` together; then `body` is NULL and those two hold only what is not personal.
ALTER TABLE messages ADD COLUMN content_sealed {bytes};
-- In place of `profile_name`.
ALTER TABLE contacts ADD COLUMN profile_name_sealed {bytes};
