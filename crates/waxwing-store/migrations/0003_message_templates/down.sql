DROP TABLE channel_health;
DROP TABLE message_templates;
