DROP TABLE portfolio_hours;
DROP TABLE portfolio_people;
DROP TABLE portfolios;
