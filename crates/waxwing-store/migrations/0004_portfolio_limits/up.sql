-- Whom businesses wrote to first: providers limit how many people that may be in a day, by account and over all tenants.

-- One row for each account; its lock orders those who count at the same time.
CREATE TABLE portfolios (
  id {text} NOT NULL PRIMARY KEY,
  counted_at {time} NOT NULL
) {strict};

CREATE TABLE portfolio_people (
  portfolio_id {text} NOT NULL,
  contact_id {uuid} NOT NULL,
  -- The hour, since 1970, in which this person was counted last.
  hour {int} NOT NULL,
  PRIMARY KEY (portfolio_id, contact_id)
) {strict};
CREATE INDEX portfolio_people_age ON portfolio_people (hour);

-- How many were counted in an hour.
CREATE TABLE portfolio_hours (
  portfolio_id {text} NOT NULL,
  hour {int} NOT NULL,
  people {int} NOT NULL,
  PRIMARY KEY (portfolio_id, hour)
) {strict};
